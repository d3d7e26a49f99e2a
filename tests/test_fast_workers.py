"""The fast backend's worker threads and its memory; its algorithms are in test_fast.py."""

from __future__ import annotations

import gc
import os
import threading
import warnings

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, use_backend
from minicnn import functional as F
from minicnn.backends.fast import memory, workers


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """A number of threads, and the one before afterwards."""
    before = workers._chosen
    minicnn.set_num_threads(request.param)
    yield request.param
    minicnn.set_num_threads(before)


def random(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------
# Workers
# ---------------------------------------------------------------------------
def blas_threads():
    return [lib.get_num_threads() for lib in workers.blas_libraries()]


@pytest.fixture
def two_threads():
    before = workers._chosen
    minicnn.set_num_threads(2)
    yield
    minicnn.set_num_threads(before)


@pytest.mark.parametrize("parallel", [True, False])
def test_every_call_is_made_once(threads, parallel):
    made, seen = [], set()

    def call(worker, i):
        made.append(i)
        seen.add(worker)

    for count in (0, 1, 2, 50):
        made.clear()
        workers.run(call, count, parallel=parallel)
        assert sorted(made) == list(range(count))
    assert seen <= set(range(threads if parallel else 1))


def test_two_workers_work_at_once(two_threads):
    both = threading.Barrier(2, timeout=20)  # each call waits for the other
    workers.run(lambda worker, i: both.wait(), 2)


def test_an_error_in_a_worker_reaches_the_caller(two_threads):
    both = threading.Barrier(2, timeout=20)

    def fail(worker, i):
        both.wait()
        if worker == 1:
            raise KeyError("in the helper")

    with pytest.raises(KeyError, match="in the helper"):
        workers.run(fail, 2)
    workers.run(lambda worker, i: None, 10)  # and the pool still works


def test_an_error_stops_the_other_calls(two_threads):
    made = []

    def fail(worker, i):
        made.append(i)
        raise ValueError(i)

    with pytest.raises(ValueError):
        workers.run(fail, 10_000)
    assert len(made) <= 2


def test_ctrl_c_waits_for_the_helpers(two_threads):
    started, reached, done = threading.Event(), threading.Event(), []

    def call(worker, i):
        if worker == 0:
            reached.set()
            assert started.wait(20)
            raise KeyboardInterrupt
        started.set()
        assert reached.wait(20)  # the helper leaves the other piece to the caller
        done.append(i)

    with pytest.raises(KeyboardInterrupt):
        workers.run(call, 2)
    assert done


def test_helpers_see_the_callers_errstate(two_threads):
    both = threading.Barrier(2, timeout=20)

    def overflow(worker, i):
        both.wait()
        np.float32(1e38) * np.ones(3, np.float32) * 1e38

    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        workers.run(overflow, 2)


def test_a_run_inside_a_run_works_alone(two_threads):
    inner = []
    workers.run(lambda worker, i: workers.run(lambda w, j: inner.append((w, j)), 3), 2)
    assert sorted(inner) == [(0, 0), (0, 0), (0, 1), (0, 1), (0, 2), (0, 2)]


def test_several_callers_at_once(two_threads):
    x, w = random(2, 8, 40, 40, dtype=np.float32), random(40, 8, 3, 3, dtype=np.float32)
    results, errors = {}, []

    def call(k):
        try:
            with use_backend("fast"):  # a new thread starts with the default
                results[k] = [F.conv2d(x * (k + 1), w, padding=1).numpy() for _ in range(5)]
        except Exception as error:
            errors.append(error)

    before = blas_threads()
    callers = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for t in callers:
        t.start()
    for t in callers:
        t.join(60)
    assert not errors
    for k in range(4):
        expected = F.conv2d(x.astype(np.float64) * (k + 1), w.astype(np.float64), padding=1)
        for y in results[k]:
            np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=1e-3)
    assert blas_threads() == before


def test_blas_has_one_thread_inside_and_its_own_number_afterwards(two_threads):
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        before, inside = blas_threads(), []
        workers.run(lambda worker, i: inside.append(blas_threads()), 4)
        with pytest.raises(ZeroDivisionError):
            workers.run(lambda worker, i: 1 / 0, 4)
        assert blas_threads() == before
    assert inside == [[1] * len(before)] * 4


def test_without_a_blas_that_threadpoolctl_knows(two_threads, monkeypatch):
    monkeypatch.setattr(workers, "blas_libraries", list)
    made = []
    workers.run(lambda worker, i: made.append(i), 5)
    assert sorted(made) == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_helpers_are_tied_to_a_cpu_and_the_caller_is_left_alone(two_threads):
    before, both, seen = os.sched_getaffinity(0), threading.Barrier(2, timeout=20), {}

    def look(worker, i):
        both.wait()
        seen[worker] = os.sched_getaffinity(0)

    workers.run(look, 2)
    assert os.sched_getaffinity(0) == before == seen[0]
    assert seen[1] <= before
    assert len(seen[1]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("backend", ["fast", "compiled"])
def test_a_forked_child_computes_and_so_does_its_parent(backend, two_threads):
    x, w = random(2, 8, 80, 80, dtype=np.float32), random(40, 8, 3, 3, dtype=np.float32)
    with use_backend(backend):
        expected = F.conv2d(x, w).numpy()  # the helper runs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
            child = os.fork()
        if child == 0:
            same = np.array_equal(F.conv2d(x, w).numpy(), expected)
            os._exit(0 if same else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), expected)


def test_set_num_threads():
    before = workers._chosen
    try:
        minicnn.set_num_threads(3)
        assert minicnn.get_num_threads() == 3
        minicnn.set_num_threads(None)
        assert 1 <= minicnn.get_num_threads() <= max(os.cpu_count(), 1)
        for wrong, error in (
            (0, ValueError),
            (-1, ValueError),
            (1.5, TypeError),
            (True, TypeError),
        ):
            with pytest.raises(error, match="set_num_threads: expects"):
                minicnn.set_num_threads(wrong)
    finally:
        minicnn.set_num_threads(before)


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------
@pytest.fixture
def pool(monkeypatch):
    """A pool of its own, so that other tests' arrays do not matter."""
    gc.collect()
    monkeypatch.setattr(memory, "_pool", memory.Pool())
    return memory


def test_memory_comes_back_with_the_last_view(pool):
    a = pool.empty((100, 1000))
    lent = pool.usage().lent
    assert lent >= a.nbytes
    view = a[1:][:, 2:].T
    del a
    assert pool.usage() == memory.Usage(lent, 0)
    view[...] = 1
    del view
    assert pool.usage() == memory.Usage(0, lent)
    again = pool.empty((1000, 100))
    assert pool.usage() == memory.Usage(lent, 0)
    del again
    assert pool.release() == lent
    assert pool.usage() == memory.Usage(0, 0)


def test_two_arrays_never_share_memory(pool):
    arrays = [pool.empty((64, 1000)) for _ in range(5)]
    for k, a in enumerate(arrays):
        a[...] = k
    assert [float(a.max()) for a in arrays] == [0, 1, 2, 3, 4]
    assert all(a.ctypes.data % memory.ALIGNMENT == 0 for a in arrays)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (300, 400)])
def test_arrays_of_any_shape_and_dtype(pool, shape, dtype):
    a = pool.empty(shape, dtype)
    assert (a.shape, a.dtype) == (shape, dtype)
    assert a.flags.c_contiguous and a.flags.writeable
    a[...] = 3
    assert (a == 3).all()


def test_idle_memory_is_bounded(pool, monkeypatch):
    monkeypatch.setattr(memory, "limit", 10**6)
    arrays = [pool.empty((100, 500 + 100 * k)) for k in range(10)]
    assert pool.usage().lent > 10**6
    arrays.clear()
    usage = pool.usage()
    assert usage.lent == 0
    assert 0 < usage.idle <= 10**6


def test_memory_in_several_threads(pool):
    wrong = []

    def work(k):
        for n in range(200):
            a = pool.empty((50, 300 + n % 3))
            a[...] = k
            b = a[3:]
            del a
            if not (b == k).all():
                wrong.append(k)

    callers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in callers:
        t.start()
    for t in callers:
        t.join(60)
    assert not wrong
    assert pool.usage().lent == 0


def test_a_net_gives_its_memory_back(pool):
    x = Tensor(random(2, 8, 40, 40, dtype=np.float32), requires_grad=True)
    w = Tensor(random(40, 8, 3, 3, dtype=np.float32), requires_grad=True)
    with use_backend("fast"):
        y = F.conv2d(x, w, activation="relu").sum()
    assert pool.usage().lent > 0  # the tape keeps the output
    y.backward()
    del y
    assert pool.usage().lent <= 2 * x.data.nbytes  # the gradients
    x.grad = w.grad = None
    assert pool.usage().lent == 0


def test_what_the_tape_keeps_is_not_overwritten():
    w = Tensor(random(8, 8, 3, 3, dtype=np.float32), requires_grad=True)
    x = Tensor(random(2, 8, 30, 30, dtype=np.float32))
    with use_backend("fast"):
        y = F.conv2d(x, w, padding=1, activation="relu")
        kept = y.numpy().copy()
        for _ in range(3):
            F.conv2d(y, w, padding=1, activation="relu")
        np.testing.assert_array_equal(y.numpy(), kept)
