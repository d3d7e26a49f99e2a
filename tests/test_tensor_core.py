"""The tensor cores' instructions as the emulator plays them, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from launches import numbers

from minicnn.backends.cuda.matmul import matmul
from minicnn.emulator import load
from minicnn.emulator.launch import ORDERS
from minicnn.paths import kernels_dir

pytestmark = pytest.mark.usefixtures("compiler")


def to_tf32(x):
    """x rounded to 10 bits of fraction, ties away from zero: written with numbers, not bits."""
    x = x.astype(np.float64)
    fraction, exponent = np.frexp(x)  # |fraction| in [1/2, 1): 11 bits of it are kept
    rounded = np.copysign(np.floor(abs(fraction) * 2**11 + 0.5), fraction)
    return np.ldexp(rounded, exponent - 11)


def test_tf32_rounds_as_it_should():
    source = """
    #include "tensor_core.cuh"
    extern "C" __global__ void round_all(const float* x, float* y, int n) {
        if (thread_index() < n) y[thread_index()] = __uint_as_float(tf32(x[thread_index()]));
    }"""
    ties = 1 + (2 * np.arange(64) + 1) * 2.0**-11
    near = np.concatenate([np.nextafter(np.float32(ties), np.float32(k)) for k in (0, 2)])
    drawn = numbers(500)
    x = np.concatenate([ties, -ties, near, drawn * 1e-30, drawn * 1e30, [0, 2.0**-126]])
    x, y = x.astype(np.float32), np.empty(len(x), np.float32)
    load(source, "round_all")((-(-len(x) // 256),), (256,), (x, y, len(x)))
    np.testing.assert_array_equal(y, to_tf32(x))
    special = np.array([np.inf, -np.inf, np.nan, -0.0], np.float32)
    load(source, "round_all")((1,), (32,), (special, y, 4))
    assert np.signbit(y[3]) and y[3] == 0
    np.testing.assert_array_equal(y[:3], special[:3])


@pytest.mark.parametrize("order", ORDERS)
def test_mma_multiplies_fragments(order):
    """Each lane holds what the instruction set's manual (PTX, m16n8k8) says it holds."""
    source = """
    #include "tensor_core.cuh"
    extern "C" __global__ void mma(const float* a, const float* b, float* d) {
        unsigned int left[4], right[2];
        float sums[4];
        for (int i = 0; i < 4; i++) left[i] = tf32(a[threadIdx.x * 4 + i]);
        for (int i = 0; i < 2; i++) right[i] = tf32(b[threadIdx.x * 2 + i]);
        for (int i = 0; i < 4; i++) sums[i] = d[threadIdx.x * 4 + i];
        mma_tf32(sums, left, right);
        for (int i = 0; i < 4; i++) d[threadIdx.x * 4 + i] = sums[i];
    }"""
    rng = np.random.default_rng(3)
    A, B, D = (rng.integers(-9, 9, shape) for shape in ((16, 8), (8, 8), (16, 8)))
    g, t = np.divmod(np.arange(32), 4)
    a = np.stack([A[g, t], A[g + 8, t], A[g, t + 4], A[g + 8, t + 4]], 1).astype(np.float32)
    b = np.stack([B[t, g], B[t + 4, g]], 1).astype(np.float32)

    def held(D):
        return np.stack([D[g, 2 * t], D[g, 2 * t + 1], D[g + 8, 2 * t], D[g + 8, 2 * t + 1]], 1)

    d = held(D).astype(np.float32)
    load(source, "mma")((1,), (32,), (a, b, d), order=order)
    np.testing.assert_array_equal(d, held(D + A @ B))


def test_copies_arrive_when_they_are_waited_for():
    source = """
    #include "tensor_core.cuh"
    extern "C" __global__ void copy(const float* x, float* seen) {
        __shared__ __align__(16) float here[3][4];
        AsyncCopies copies;
        for (int i = 0; i < 3; i++) {
            copies.copy(here[i], x + 4 * i, i != 1);
            copies.commit();
        }
        for (int i = 0; i < 3; i++) seen[i] = here[i][3];
        copies.wait<1>();
        for (int i = 0; i < 3; i++) seen[3 + i] = here[i][3];
        copies.wait<0>();
        for (int i = 0; i < 3; i++) seen[6 + i] = here[i][3];
    }"""
    seen = np.empty((3, 3), np.float32)
    load(source, "copy")((1,), (1,), (np.arange(12, dtype=np.float32), seen))
    nan = np.nan
    np.testing.assert_array_equal(seen, [[nan, nan, nan], [3, 0, nan], [3, 0, 11]])


def test_a_forgotten_wait_is_seen():
    path = kernels_dir() / "matmul" / "tf32.cu"
    source = path.read_text(encoding="utf-8").replace("copies.wait<STAGES - 2>();", "")
    a, b, y = numbers(8, 64), numbers(64, 8, seed=1), np.empty((8, 8), np.float32)
    args = (a, b, None, None, y, 8, 8, 64, 64, 1, 8, 1, 0)
    load(source, "matmul")((1,), (128,), args, shared_mem=80_000)
    assert np.isnan(y).any()


def test_tf32_is_the_product_of_rounded_factors():
    a, b = numbers(20, 52), numbers(52, 24, seed=1)
    y, exact = matmul(a, b, rung="tf32"), to_tf32(a) @ to_tf32(b)
    assert (abs(y - exact) <= 52 * 2.0**-23 * (abs(a) @ abs(b))).all()
    assert abs(y - a.astype(float) @ b).max() > 1e-4  # else nothing was rounded
