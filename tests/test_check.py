"""`check`: right functions pass, and wrong ones get the right hint."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

import minicnn
from minicnn.checks import Report, check, hints, references, search
from minicnn.checks.mistakes import TABLES
from minicnn.checks.student import Student
from minicnn.checks.verdict import equal


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def padded(x, padding, value=0.0):
    (PH, PW) = pair(padding)
    return np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)), constant_values=value)


def cut(x, padding):
    (PH, PW), (_, _, H, W) = pair(padding), x.shape
    return x[:, :, PH : H - PH, PW : W - PW]


def places(x, kernel, stride):
    """((i, j), (rows, columns)) of every window of a padded x."""
    (KH, KW), (SH, SW) = pair(kernel), pair(kernel if stride is None else stride)
    for i in range((x.shape[2] - KH) // SH + 1):
        for j in range((x.shape[3] - KW) // SW + 1):
            yield (i, j), (slice(i * SH, i * SH + KH), slice(j * SW, j * SW + KW))


def windows_of(x, kernel, stride):
    """{(i, j): window} of a padded x, and OH, OW."""
    found = {ij: x[:, :, h, w] for ij, (h, w) in places(x, kernel, stride)}
    return found, *(n + 1 for n in max(found))


# ---------------------------------------------------------------------------
# Right functions, written here once more
# ---------------------------------------------------------------------------
def my_conv2d(x, w, b=None, stride=1, padding=0):
    windows, OH, OW = windows_of(padded(x, padding), w.shape[2:], stride)
    y = np.zeros((x.shape[0], w.shape[0], OH, OW))
    for (i, j), window in windows.items():
        for o in range(len(w)):
            y[:, o, i, j] = (window * w[o]).sum(axis=(1, 2, 3)) + (0 if b is None else b[o])
    return y


def my_conv2d_backward(dy, x, w, stride, padding):
    xp, dw = padded(x, padding), np.zeros(w.shape)
    dx = np.zeros(xp.shape)
    for (i, j), (h, v) in places(xp, w.shape[2:], stride):
        for n in range(len(x)):
            for o in range(len(w)):
                dx[n, :, h, v] += dy[n, o, i, j] * w[o]
                dw[o] += dy[n, o, i, j] * xp[n, :, h, v]
    return cut(dx, padding), dw, dy.sum(axis=(0, 2, 3))


def my_im2col(x, kernel_size, stride, padding):
    windows, OH, OW = windows_of(padded(x, padding), kernel_size, stride)
    rows = [windows[i, j][n].transpose(1, 2, 0).ravel()
            for n in range(len(x)) for i in range(OH) for j in range(OW)]  # fmt: skip
    return np.array(rows)


def my_col2im(col, size, kernel_size, stride, padding):
    x = padded(np.zeros(size), padding)
    spots, k = list(places(x, kernel_size, stride)), 0
    for n in range(size[0]):
        for _, (h, w) in spots:
            window = col[k].reshape(*pair(kernel_size), size[1])
            x[n, :, h, w] += window.transpose(2, 0, 1)
            k += 1
    return cut(x, padding)


def my_max_pool2d(x, kernel_size, stride=None, padding=0):
    windows, OH, OW = windows_of(padded(x, padding, -np.inf), kernel_size, stride)
    y = np.zeros((*x.shape[:2], OH, OW))
    for (i, j), window in windows.items():
        y[:, :, i, j] = window.max(axis=(2, 3))
    return y


def my_max_pool2d_backward(dy, x, kernel_size, stride, padding):
    xp = padded(x, padding, -np.inf)
    dx = np.zeros(xp.shape)
    for (i, j), (h, w) in places(xp, kernel_size, stride):
        for n, c in np.ndindex(*x.shape[:2]):
            window = xp[n, c, h, w]
            u, v = np.unravel_index(window.argmax(), window.shape)
            dx[n, c, h.start + u, w.start + v] += dy[n, c, i, j]
    return cut(dx, padding)


def my_avg_pool2d(x, kernel_size, stride=None, padding=0):
    windows, OH, OW = windows_of(padded(x, padding), kernel_size, stride)
    y = np.zeros((*x.shape[:2], OH, OW))
    for (i, j), window in windows.items():
        y[:, :, i, j] = window.mean(axis=(2, 3))
    return y


def my_avg_pool2d_backward(dy, x, kernel_size, stride, padding):
    dx = np.zeros(padded(x, padding).shape)
    cells = np.prod(pair(kernel_size))
    for (i, j), (h, w) in places(dx, kernel_size, stride):
        dx[:, :, h, w] += dy[:, :, i, j, None, None] / cells
    return cut(dx, padding)


def my_relu(x):
    return np.maximum(x, 0)


def my_relu_backward(dy, x):
    return dy * (x > 0)


def my_linear(x, w, b):
    return x @ w.T + b


def my_linear_backward(dy, x, w):
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ w, drows.T @ rows, drows.sum(axis=0)


def log_softmax(x):
    z = x - x.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def my_cross_entropy(x, t, weight=None, ignore_index=-100, label_smoothing=0.0):
    loss = total = 0.0
    w = np.ones(x.shape[1]) if weight is None else weight
    for row, k in zip(log_softmax(x), t):
        if k != ignore_index:
            smooth = label_smoothing * (w * row).mean()
            loss -= (1 - label_smoothing) * w[k] * row[k] + smooth
            total += w[k]
    return loss / total


def my_cross_entropy_backward(dy, x, t, weight=None, ignore_index=-100, label_smoothing=0.0):
    p, dx, K = np.exp(log_softmax(x)), np.zeros(x.shape), x.shape[1]
    w, kept = np.ones(K) if weight is None else weight, t != ignore_index
    for n in np.flatnonzero(kept):
        q = w * label_smoothing / K
        q[t[n]] += (1 - label_smoothing) * w[t[n]]
        dx[n] = dy * (p[n] * q.sum() - q) / w[t[kept]].sum()
    return dx


def plain_cross_entropy(x, t):
    return float(np.mean([-row[k] for row, k in zip(log_softmax(x), t)]))


def plain_cross_entropy_backward(dy, x, t):
    p = np.exp(log_softmax(x))
    for n, k in enumerate(t):
        p[n, k] -= 1
    return dy * p / len(x)


def my_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def my_sigmoid_backward(dy, x):
    return dy * my_sigmoid(x) * (1 - my_sigmoid(x))


def my_tanh(x):
    return np.tanh(x)


def my_tanh_backward(dy, x):
    return dy / np.cosh(x) ** 2


def my_dropout(x, p, mask):
    return np.where(mask, x / (1 - p), 0.0)


def my_dropout_backward(dy, x, p, mask):
    return np.where(mask, dy / (1 - p), 0.0)


def my_batch_norm(x, weight, bias, eps):
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        v = x[:, c]
        y[:, c] = (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + eps) * weight[c] + bias[c]
    return y


def my_batch_norm_backward(dy, x, weight, bias, eps):
    dx, dw, db = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(weight.shape)
    for c in range(x.shape[1]):
        v, g = x[:, c], dy[:, c]
        sigma = np.sqrt(v.var() + eps)
        z = (v - v.mean()) / sigma
        dw[c], db[c] = (g * z).sum(), g.sum()
        dx[:, c] = weight[c] / sigma * (g - g.mean() - z * (g * z).mean())
    return dx, dw, db


def my_im2col_backward(dy, x, kernel_size, stride, padding):
    return my_col2im(dy, x.shape, kernel_size, stride, padding)


def my_col2im_backward(dy, col, size, kernel_size, stride, padding):
    return my_im2col(dy, kernel_size, stride, padding)


def my_grey(x):
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


def my_standardize(x, mean, std):
    return np.stack([(x[:, c] - mean[c]) / std[c] for c in range(x.shape[1])], axis=1)


def my_output_size(size, kernel, stride=1, padding=0):
    return len(range(0, size + 2 * padding - kernel + 1, stride))


def my_conv_parameters(in_channels, out_channels, kernel, bias=True):
    return np.zeros((out_channels, in_channels, kernel, kernel)).size + bias * out_channels


def my_receptive_field(layers):
    """From the output back: n outputs need (n - 1) stride + kernel inputs."""
    n = 1
    for kernel, stride in layers[::-1]:
        n = (n - 1) * stride + kernel
    return n


def my_conv_summary(in_channels, height, width, out_channels, kernel, stride=1, padding=0):
    x = np.zeros((1, in_channels, height, width))
    w = np.zeros((out_channels, in_channels, kernel, kernel))
    _, _, OH, OW = my_conv2d(x, w, None, stride, padding).shape
    return OH, OW, w.size + out_channels, w[0].size * out_channels * OH * OW


def my_dense_parameters(sizes):
    return sum(np.zeros((o, i)).size + o for i, o in zip(sizes.tolist(), sizes.tolist()[1:]))


def my_accuracy(x, t):
    return sum(list(row).index(max(row)) == k for row, k in zip(x, t)) / len(t)


def my_running_statistics(x, mean, var, momentum=0.1):
    rows = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    unbiased = (centred**2).sum(axis=1) / (rows.shape[1] - 1)
    return mean + momentum * (rows.mean(axis=1) - mean), var + momentum * (unbiased - var)


def lrn_sums(values, size):
    """For each channel c the sum over the channels c - size//2 to c + (size-1)//2."""
    y = np.zeros(values.shape)
    for c in range(values.shape[1]):
        y[:, c] = values[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1].sum(axis=1)
    return y


def my_local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    return x / (k + alpha / size * lrn_sums(x * x, size)) ** beta


def my_local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    s = k + alpha / size * lrn_sums(x * x, size)
    mirrored = lrn_sums((dy * x * s ** (-beta - 1))[:, ::-1], size)[:, ::-1]
    return dy * s**-beta - 2 * alpha * beta / size * x * mirrored


def my_sgd_step(w, dw, v, lr, momentum):
    new = dw + momentum * v
    return w - new * lr, new


def my_squeeze_excitation(x, w1, b1, w2, b2):
    means = np.einsum("nchw->nc", x) / (x.shape[2] * x.shape[3])
    hidden = means @ w1.T + b1
    scores = np.where(hidden > 0, hidden, 0) @ w2.T + b2
    with np.errstate(over="ignore"):
        return np.einsum("nchw,nc->nchw", x, 1 / (1 + np.exp(-scores)))


def my_channel_shuffle(x, groups):
    order = np.arange(x.shape[1]).reshape(groups, -1).T.ravel()
    return x[:, order]


def my_separable_macs(C, N, kernel, H, W):
    depthwise, pointwise = np.zeros((C, kernel, kernel)), np.zeros((N, C))
    return (depthwise.size + pointwise.size) * H * W


def my_nearest(references, queries, k):
    products = queries @ references.T
    squares = (queries**2).sum(1)[:, None] - 2 * products + (references**2).sum(1)
    return np.argsort(np.sqrt(squares.clip(0)), axis=1)[:, :k]


def my_l2_step(w, dw, lr, weight_decay):
    return (1 - lr * weight_decay) * w - lr * dw


def my_conv_macs(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    out = my_output_size(size, kernel, stride, padding)
    return out**2 * my_conv_parameters(in_channels // groups, out_channels, kernel, False)


def my_line_fit(x, y):
    a, b = np.polyfit(x, y, 1)
    return a, b, np.corrcoef(x, y)[0, 1]


def my_tiled_matmul(a, b, tile):
    y = np.zeros((a.shape[0], b.shape[1]))
    for m in range(0, a.shape[0], tile):
        for k in range(0, a.shape[1], tile):
            y[m : m + tile] += a[m : m + tile, k : k + tile] @ b[k : k + tile]
    return y


def my_winograd(x, w):
    m1, m4 = (x[0] - x[2]) * w[0], (x[1] - x[3]) * w[2]
    m2, m3 = (x[1] + x[2]) * w.sum() / 2, (x[2] - x[1]) * (w[0] - w[1] + w[2]) / 2
    return np.array([m1 + m2 + m3, m2 - m3 - m4])


def my_sectors(addresses):
    return len({address // 32 for address in addresses.tolist()})


def my_bank_cycles(words):
    busy = [0] * 32
    for word in set(words.tolist()):
        busy[word % 32] += 1
    return max(busy)


def my_saxpy(a, x, y):
    return np.array([a * u + v for u, v in zip(x, y)])


def my_transpose(x):
    return np.stack(list(x), axis=1)


def my_overlap(a, b):
    """Side by side: what two stretches share is their sum less what they span, if above 0."""
    shared = 1.0
    for k in (0, 1):
        ends = [(box[:, k] - box[:, k + 2] / 2, box[:, k] + box[:, k + 2] / 2) for box in (a, b)]
        span = np.maximum(ends[0][1], ends[1][1]) - np.minimum(ends[0][0], ends[1][0])
        shared = shared * np.maximum(a[:, k + 2] + b[:, k + 2] - span, 0)
    return shared / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - shared)


def my_pixel_accuracy(x, t):
    best = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).argmax(axis=1)
    return float(np.mean(best == t.reshape(-1)))


@pytest.mark.parametrize("name", references.NAMES)
def test_right_functions_pass(name, monkeypatch):
    monkeypatch.setattr(search, "EXAMPLES", 50)
    monkeypatch.setattr(search, "SECONDS", 600.0)  # all cases, however busy the machine
    report = check(globals()[f"my_{name}"])
    assert report.passed and report, report
    assert report.like == name and report.case is None and report.hint is None
    assert report.tried > 70


# ---------------------------------------------------------------------------
# Wrong functions
# ---------------------------------------------------------------------------
WRONG = {}  # "like: mistake" -> (function, words of the hint)


def wrong(like, hint):
    def note(function):
        WRONG[f"{like}: {function.__name__}"] = (function, like, hint)
        return function

    return note


@wrong("conv2d", "padding is ignored")
def without_padding(x, w, b=None, stride=1, padding=0):
    return my_conv2d(x, w, b, stride)


@wrong("conv2d", "stride is ignored")
def without_stride(x, w, b=None, stride=1, padding=0):
    return my_conv2d(x, w, b, 1, padding)


@wrong("conv2d", "The kernel is flipped")
def flipped_kernel(x, w, b=None, stride=1, padding=0):
    return my_conv2d(x, w[:, :, ::-1, ::-1], b, stride, padding)


@wrong("conv2d", "bias is forgotten")
def without_bias(x, w, b=None, stride=1, padding=0):
    return my_conv2d(x, w, None, stride, padding)


@wrong("conv2d", "Only the last input channel counts: = where")
def last_channel(x, w, b=None):
    return my_conv2d(x[:, -1:], w[:, -1:], b)


@wrong("conv2d", "stride is taken as .for W, for H.")
def swapped_stride(x, w, stride=1):
    return my_conv2d(x, w, None, pair(stride)[::-1])


@wrong("conv2d", "The window of output .i, j. starts at .i, j.; with a stride")
def window_at_i(x, w, b=None, stride=1, padding=0):
    y = my_conv2d(x, w, b, stride, padding)
    return my_conv2d(x, w, b, 1, padding)[:, :, : y.shape[2], : y.shape[3]]


@wrong("conv2d", "stride is one too large")
def stride_off_by_one(x, w, b=None, stride=1):
    return my_conv2d(x, w, b, tuple(s + 1 for s in pair(stride)))


@wrong("conv2d", "The last row and the last column are missing")
def one_short(x, w):
    return my_conv2d(x, w)[:, :, :-1, :-1]


@wrong("conv2d", "rounded down")
def output_rounded_up(x, w, stride=1):
    (KH, KW), (SH, SW) = w.shape[2:], pair(stride)
    more = (-(x.shape[2] - KH) % SH, -(x.shape[3] - KW) % SW)
    return my_conv2d(np.pad(x, ((0, 0), (0, 0), (0, more[0]), (0, more[1]))), w, None, stride)


@wrong("conv2d", r"order \(N, H, W, C\)")
def channels_last(x, w):
    return my_conv2d(x, w).transpose(0, 2, 3, 1)


@wrong("conv2d", "where stride is a pair")
def stride_as_a_number(x, w, stride=1):
    return my_conv2d(x, w, None, (stride * 1, int(stride)))


@wrong("conv2d", "The padding is only at the top and the left")
def one_sided_padding(x, w, padding=0):
    (PH, PW) = pair(padding)
    return my_conv2d(np.pad(x, ((0, 0), (0, 0), (PH, 0), (PW, 0))), w)


@wrong("conv2d", "bias is added once for every input channel")
def bias_in_the_channel_loop(x, w, b=None):
    return sum(my_conv2d(x[:, c : c + 1], w[:, c : c + 1], b) for c in range(x.shape[1]))


@wrong("conv2d", "digits are lost|computed in float32")
def in_float32(x, w):
    return my_conv2d(x, w).astype(np.float32).astype(np.float64)


@wrong("conv2d", "It fails where the kernel is not square, and only there")
def square_kernels(x, w, b=None):
    return my_conv2d(x, w, b) * w.shape[2] / w.shape[3]


@wrong("conv2d", "And there seems to be another mistake besides")
def two_mistakes(x, w, b=None, stride=1, padding=0):
    doubled = len(x) > 1 and pair(stride)[0] == 3
    return my_conv2d(x, w, None, stride, padding) * (2 if doubled else 1)


@wrong("conv2d_backward", r"dx: .*\+= into dx, not =")
def assigned(dy, x, w, stride, padding):
    xp = padded(x, padding)
    dx = np.zeros(xp.shape)
    for (i, j), (h, v) in places(xp, w.shape[2:], stride):
        dx[:, :, h, v] = np.tensordot(dy[:, :, i, j], w, 1)
    return cut(dx, padding), *my_conv2d_backward(dy, x, w, stride, padding)[1:]


@wrong("conv2d_backward", r"dx: The kernel is flipped")
def flipped_in_backward(dy, x, w, stride, padding):
    flipped = my_conv2d_backward(dy, x, w[..., ::-1, ::-1], stride, padding)
    return flipped[0], *my_conv2d_backward(dy, x, w, stride, padding)[1:]


@wrong("conv2d_backward", r"d[wb]: Every image of the batch adds")
def last_image(dy, x, w, stride, padding):
    dx, _, _ = my_conv2d_backward(dy, x, w, stride, padding)
    return dx, *my_conv2d_backward(dy[-1:], x[-1:], w, stride, padding)[1:]


@wrong("conv2d_backward", r"dx: The padding is still around the result")
def uncut(dy, x, w, stride, padding):
    _, dw, db = my_conv2d_backward(dy, x, w, stride, padding)
    return my_conv2d_backward(dy, padded(x, padding), w, stride, 0)[0], dw, db


@wrong("conv2d_backward", r"db: .* over the batch")
def db_for_each_image(dy, x, w, stride, padding):
    return *my_conv2d_backward(dy, x, w, stride, padding)[:2], dy.sum(axis=(2, 3))


@wrong("conv2d_backward", r"d[xwb]: It looks as if dy is ignored")
def without_dy(dy, x, w):
    return my_conv2d_backward(np.ones_like(dy), x, w, 1, 0)


@wrong("conv2d_backward", r"dx: The outputs come in another order; return \(dx, dw, db\)")
def other_order(dy, x, w):
    dx, dw, db = my_conv2d_backward(dy, x, w, 1, 0)
    return dw, dx, db


@wrong("conv2d_backward", r"d[wb]: It is divided by N")
def averaged(dy, x, w):
    dx, dw, db = my_conv2d_backward(dy, x, w, 1, 0)
    return dx, dw / len(x), db / len(x)


@wrong("im2col", r"numbers come in the order \(c, u, v\)")
def channels_first_rows(x, kernel_size, stride, padding):
    N, C, H, W = x.shape
    col = my_im2col(x, kernel_size, stride, padding)
    return col.reshape(len(col), -1, C).swapaxes(1, 2).reshape(col.shape)


@wrong("im2col", r"order of PyTorch's unfold")
def unfold(x, kernel_size):
    col = channels_first_rows(x, kernel_size, 1, 0)
    return col.reshape(len(x), -1, col.shape[1]).swapaxes(1, 2)


@wrong("col2im", r"write \+=, not =")
def pasted(col, size, kernel_size, stride, padding):
    x = padded(np.zeros(size), padding)
    spots, k = list(places(x, kernel_size, stride)), 0
    for n in range(size[0]):
        for _, (h, w) in spots:
            x[n, :, h, w] = col[k].reshape(*pair(kernel_size), size[1]).transpose(2, 0, 1)
            k += 1
    return cut(x, padding)


@wrong("max_pool2d", "padding counts as 0 and wins")
def padded_with_zeros(x, kernel_size, stride=None, padding=0):
    stride = kernel_size if stride is None else stride
    return my_max_pool2d(padded(x, padding), kernel_size, stride)


@wrong("max_pool2d", "kernel_size is taken as .for W, for H.")
def swapped_kernel(x, kernel_size):
    return my_max_pool2d(x, pair(kernel_size)[::-1])


@wrong("max_pool2d", "windows are kernel_size apart")
def pool_without_stride(x, kernel_size, stride=None):
    return my_max_pool2d(x, kernel_size)


@wrong("max_pool2d_backward", "Where windows overlap")
def maximum_assigned(dy, x, kernel_size, stride):
    dx = np.zeros(x.shape)
    for (i, j), (h, w) in places(x, kernel_size, stride):
        for n, c in np.ndindex(*x.shape[:2]):
            u, v = np.unravel_index(x[n, c, h, w].argmax(), x[n, c, h, w].shape)
            dx[n, c, h.start + u, w.start + v] = dy[n, c, i, j]
    return dx


@wrong("max_pool2d_backward", "every place gets dy; only the first one")
def to_every_maximum(dy, x, kernel_size, stride):
    dx = np.zeros(x.shape)
    for (i, j), (h, w) in places(x, kernel_size, stride):
        window = x[:, :, h, w]
        dx[:, :, h, w] += (window == window.max(axis=(2, 3), keepdims=True)) * dy[
            :, :, i, j, None, None
        ]
    return dx


@wrong("avg_pool2d", "number of pixels inside the image")
def padding_not_counted(x, kernel_size, stride=None, padding=0):
    ones = my_avg_pool2d(np.ones_like(x), kernel_size, stride, padding)
    return my_avg_pool2d(x, kernel_size, stride, padding) / ones


@wrong("avg_pool2d", "This is the sum of each window")
def not_divided(x, kernel_size):
    return my_avg_pool2d(x, kernel_size) * np.prod(pair(kernel_size))


@wrong("avg_pool2d_backward", r"\+= into dx, not =")
def share_assigned(dy, x, kernel_size, stride):
    dx = np.zeros(x.shape)
    for (i, j), (h, w) in places(x, kernel_size, stride):
        dx[:, :, h, w] = dy[:, :, i, j, None, None] / np.prod(pair(kernel_size))
    return dx


@wrong("relu_backward", "At x = 0 the slope is taken as 1")
def slope_at_0(dy, x):
    return dy * (x >= 0)


@wrong("relu_backward", "dy is ignored")
def no_chain_rule(dy, x):
    return (x > 0) * 1.0


@wrong("relu", "absolute value")
def absolute(x):
    return np.abs(x)


@wrong("linear", "The weight is not transposed|bias is forgotten")
def linear_without_bias(x, w, b=None):
    return x @ w.T


@wrong("linear_backward", r"dw: .*transposed")
def dw_transposed(dy, x, w):
    dx, dw, db = my_linear_backward(dy, x, w)
    return dx, dw.T, db


@wrong("cross_entropy", "This is the sum over the rows")
def summed(x, t):
    return my_cross_entropy(x, t) * len(t)


@wrong("cross_entropy", r"e\^x overflows")
def overflowing(x, t):
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(t)), t]).mean()


@wrong("cross_entropy", "small probability becomes 0")
def logarithm_of_0(x, t):
    return -np.log(np.exp(log_softmax(x))[np.arange(len(t)), t]).mean()


@wrong("cross_entropy", "ignore_index do not count in the mean")
def ignored_rows_in_the_mean(x, t, ignore_index):
    kept = t != ignore_index
    return my_cross_entropy(x[kept], t[kept]) * kept.mean()


@wrong("cross_entropy", "divided by the sum of w")
def weighted_mean_over_rows(x, t, w):
    w = np.ones(x.shape[1]) if w is None else w
    return my_cross_entropy(x, t, w) * w[t].mean()


@wrong("cross_entropy", "weights w are ignored")
def no_weights(x, t, w):
    return my_cross_entropy(x, t)


@wrong("cross_entropy", "label_smoothing is ignored")
def no_smoothing(x, t, label_smoothing):
    return my_cross_entropy(x, t)


@wrong("cross_entropy", "shared by the wrong classes alone")
def smoothed_to_the_others(x, t, smoothing):
    q = np.full(x.shape, smoothing / max(x.shape[1] - 1, 1))
    q[np.arange(len(t)), t] = 1 - smoothing
    return -(q * log_softmax(x)).sum(axis=1).mean()


@wrong("cross_entropy_backward", "The right class keeps 1")
def too_much_of_the_right_class(x, t, label_smoothing):
    q = np.eye(x.shape[1])[t] + label_smoothing / x.shape[1]
    return (np.exp(log_softmax(x)) * q.sum(axis=1, keepdims=True) - q) / len(t)


@wrong("cross_entropy", "gives nothing to the others")
def smoothed_away(x, t, label_smoothing):
    return my_cross_entropy(x, t) * (1 - label_smoothing)


@wrong("cross_entropy_backward", "not divided by N")
def not_divided_by_n(x, t):
    return my_cross_entropy_backward(1.0, x, t) * len(t)


@wrong("cross_entropy_backward", "one-hot target is not subtracted")
def no_one_hot(x, t):
    return np.exp(log_softmax(x)) / len(t)


@wrong("dropout", "not scaled")
def unscaled(x, p, mask):
    return x * mask


@wrong("batch_norm", "n - 1")
def unbiased_variance(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(
        x.var(axis=(0, 2, 3), keepdims=True, ddof=1) + 1e-5
    )


@wrong("batch_norm_backward", "two terms of dx are missing")
def constant_statistics(dy, x, w, b, eps):
    _, dw, db = my_batch_norm_backward(dy, x, w, b, eps)
    scale = w[:, None, None] / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + eps)
    return dy * scale, dw, db


@wrong("output_size", "1 is missing")
def without_one(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride


@wrong("output_size", "rounded up")
def hanging_over(size, kernel, stride):
    return len(range(0, size - kernel + stride, stride)) if size > kernel else 1


@wrong("conv_parameters", "depth is forgotten")
def flat_filters(in_channels, out_channels, kernel):
    return out_channels * (kernel**2 + 1)


@wrong("conv_parameters", "one bias for each filter")
def one_bias(in_channels, out_channels, kernel):
    return out_channels * in_channels * kernel**2 + 1


@wrong("conv_macs", "own group alone")
def groups_forgotten(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    return my_conv_macs(size, in_channels, out_channels, kernel, stride, padding)


@wrong("conv_macs", "each pixel of the output, not of the input")
def pixels_of_the_input(size, in_channels, out_channels, kernel):
    return size**2 * my_conv_parameters(in_channels, out_channels, kernel, False)


@wrong("conv_macs", "two for each multiplication")
def operations(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    return 2 * my_conv_macs(size, in_channels, out_channels, kernel, stride, padding, groups)


@wrong("line_fit", "through 0")
def line_through_zero(x, y):
    return ((x * y).sum() / (x * x).sum(), *my_line_fit(x, y)[1:])


@wrong("line_fit", "r is squared")
def r_squared(x, y):
    a, b, r = my_line_fit(x, y)
    return a, b, r * r


@wrong("tiled_matmul", "Tiles at the edge are left out")
def whole_tiles(a, b, tile):
    y = np.zeros((a.shape[0], b.shape[1]))
    M, K, N = (v // tile * tile for v in (*a.shape, b.shape[1]))
    y[:M, :N] = a[:M, :K] @ b[:K, :N]
    return y


@wrong("tiled_matmul", r"add with \+=")
def tiles_assigned(a, b, tile):
    for k in range(0, a.shape[1], tile):
        y = a[:, k : k + tile] @ b[k : k + tile]
    return y


@wrong("winograd", "sign of m4")
def plus_m4(x, w):
    return my_winograd(x, w) + np.array([0, 2 * (x[1] - x[3]) * w[2]])


@wrong("winograd", "filter is turned around")
def turned_filter(x, w):
    return my_winograd(x, w[::-1])


@wrong("sectors", "counted for each thread")
def a_sector_each(addresses):
    return len(addresses)


@wrong("sectors", "from the lowest to the highest")
def span(addresses):
    return int(addresses.max() // 32 - addresses.min() // 32 + 1)


@wrong("bank_cycles", "handed to all at once")
def threads_in_a_bank(words):
    return int(np.bincount(words % 32).max())


@wrong("bank_cycles", "banks work side by side")
def different_words(words):
    return len(set(words.tolist()))


@wrong("receptive_field", "Strides are ignored")
def without_jump(layers):
    return 1 + int((layers[:, 0] - 1).sum())


@wrong("receptive_field", "counts from the next layer on")
def jump_too_early(layers):
    jumps = np.cumprod(layers[:, 1])
    return 1 + int(((layers[:, 0] - 1) * jumps).sum())


@wrong("grey", "same share")
def mean_of_channels(x):
    return x.mean(axis=1, keepdims=True)


@wrong("standardize", "needs its brackets")
def without_brackets(x, mean, std):
    return x - mean[:, None, None] / std[:, None, None]


@wrong("conv_summary", "parameters: The biases are forgotten")
def weights_alone(in_channels, height, width, out_channels, kernel, stride=1, padding=0):
    OH, OW, count, macs = my_conv_summary(**locals())
    return OH, OW, count - out_channels, macs


@wrong("conv_summary", "multiplications: .* not of the input")
def at_each_input(in_channels, height, width, out_channels, kernel, stride=1, padding=0):
    OH, OW, count, macs = my_conv_summary(**locals())
    return OH, OW, count, macs // (OH * OW) * height * width


@wrong("dense_parameters", "not for each input")
def biases_of_inputs(sizes):
    return int((sizes[:-1] * (sizes[1:] + 1)).sum())


@wrong("accuracy", "divide by the number of rows")
def how_many(x, t):
    return float((x.argmax(axis=1) == t).sum())


@wrong("running_statistics", r"var: .*R - 1")
def biased(x, mean, var, momentum=0.1):
    found = x.var(axis=(0, 2, 3))
    right = my_running_statistics(x, mean, var, momentum)[0]
    return right, (1 - momentum) * var + momentum * found


@wrong("running_statistics", "they are swapped")
def swapped_shares(x, mean, var, momentum=0.1):
    return my_running_statistics(x, mean, var, 1 - momentum)


@wrong("local_response_norm", "divided by size")
def alpha_of_the_paper(x, size, alpha, beta, k):
    return my_local_response_norm(x, size, alpha * size, beta, k)


@wrong("local_response_norm", "the activity damps")
def amplified(x, size, alpha, beta, k):
    return my_local_response_norm(x, size, alpha, -beta, k)


@wrong("sgd_step", "against the gradient")
def ascent(w, dw, v, lr, momentum):
    return w + lr * (momentum * v + dw), momentum * v + dw


@wrong("sgd_step", "v is an average here")
def averaged_gradients(w, dw, v, lr, momentum):
    v = momentum * v + (1 - momentum) * dw
    return w - lr * v, v


@wrong("squeeze_excitation", "sigmoid at the end is missing")
def unlimited_scale(x, w1, b1, w2, b2):
    squeezed = np.maximum(x.mean((2, 3)) @ w1.T + b1, 0)
    return x * (squeezed @ w2.T + b2)[:, :, None, None]


@wrong("squeeze_excitation", "mean runs over the batch")
def one_scale_for_all(x, w1, b1, w2, b2):
    scale = np.maximum(x.mean((0, 2, 3)) @ w1.T + b1, 0) @ w2.T + b2
    return x / (1 + np.exp(-scale))[None, :, None, None]


@wrong("channel_shuffle", "shuffle back")
def shuffled_back(x, groups):
    N, C, H, W = x.shape
    return x.reshape(N, C // groups, groups, H, W).transpose(0, 2, 1, 3, 4).reshape(x.shape)


@wrong("channel_shuffle", "Nothing is shuffled")
def only_reshaped(x, groups):
    N, C, H, W = x.shape
    return x.reshape(N, groups, C // groups, H, W).reshape(N, C, H, W)


@wrong("separable_macs", "full convolution")
def full_convolution(C, N, kernel, H, W):
    return H * W * C * N * kernel**2


@wrong("nearest", "L2 adds up squares")
def city_blocks(references, queries, k):
    d = np.abs(queries[:, None] - references[None]).sum(axis=2)
    return np.argsort(d, axis=1)[:, :k]


@wrong("l2_step", "learning rate is forgotten")
def decayed_apart(w, dw, lr, weight_decay):
    return w * (1 - weight_decay) - lr * dw


@wrong("overlap", "share nothing")
def boxes_that_do_not_meet(a, b):
    low, high = (
        pick(a[:, :2] + sign * a[:, 2:] / 2, b[:, :2] + sign * b[:, 2:] / 2)
        for pick, sign in ((np.maximum, -1), (np.minimum, 1))
    )
    shared = (high - low).prod(axis=1)
    return shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)


@wrong("overlap", "counted twice")
def shared_part_twice(a, b):
    quotient = my_overlap(a, b)
    return quotient / (1 + quotient)


@wrong("pixel_accuracy", "number of pixels")
def count_of_pixels(x, t):
    return float((x.argmax(axis=1) == t).sum())


@wrong("relu", "Your own code takes the place of this line")
def blank(x):
    raise NotImplementedError("write it")


WRONG = {n: w for n, w in WRONG.items() if w[1] in references.NAMES}


def test_a_size_is_a_whole_number():
    report = check(lambda size, kernel, stride=1: (size - kernel) / stride + 1, "output_size")
    assert report.problem == "returned float64 instead of int64" and "//" in report.hint


def test_neighbours_are_positions():
    """Their distances are no answer, though they may be the same numbers by chance."""

    def distances(references, queries, k):
        squares = ((queries[:, None] - references[None]) ** 2).sum(axis=2)
        return np.sort(squares, axis=1)[:, :k]

    report = check(distances, "nearest")
    assert report.problem == "returned float64 instead of int64" and "np.argsort" in report.hint


@pytest.mark.parametrize("name", WRONG)
def test_wrong_functions_get_the_right_hint(name, monkeypatch):
    monkeypatch.setattr(search, "SMALLER", 10)  # hints do not need the smallest case,
    monkeypatch.setattr(search, "SECONDS", 60)  # and do not depend on how busy a machine is
    function, like, hint = WRONG[name]
    report = check(function, like=like)
    assert not report and not report.passed
    assert report.hint is not None and re.search(hint, report.hint), report
    assert report.problem.split()[0] in ("returned", "raised")
    assert not agrees(function, report), "the case shows the mistake again"


def agrees(function, report):
    """Whether the function gives what is expected for the reported arguments."""
    try:
        got = function(**report.case)
    except Exception:
        return False
    pairs = zip(got, report.expected) if isinstance(got, tuple) else [(got, report.expected)]
    return all(equal(g, e) for g, e in pairs)


def test_the_report_is_the_same_every_time(monkeypatch):
    monkeypatch.setattr(search, "SMALLER", 30)
    assert repr(check(flipped_kernel, "conv2d")) == repr(check(flipped_kernel, "conv2d"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_known_mistake_can_be_made(name, monkeypatch):
    """None of the table raises everywhere, and none is right everywhere.

    hypothesis also draws numbers that it finds in whatever modules are loaded, so which cases come
    depends on the tests before this one: there are enough of them for that not to matter.
    """
    monkeypatch.setattr(search, "TELLING", 200)
    monkeypatch.setattr(search, "SECONDS", 600.0)  # all cases, however busy the machine
    trials = []
    for stage in (search.whole_numbers, search.as_drawn, search.large_scores):
        if stage is not search.large_scores or name.startswith("cross_entropy"):
            drawing = search.Search(Student(globals()[f"my_{name}"]), 2.0)
            drawing.stage, drawing.end = stage, np.inf
            trials += [t for part in drawing.telling() for t in part]
    reference = references.reference(name)
    for text, wrong_way in TABLES[name]:
        assert any(differs(reference, wrong_way, t) for t in trials), text


def differs(reference, wrong_way, trial):
    try:
        with np.errstate(all="ignore"):
            outputs = wrong_way(reference.run, reference.parameters | trial.args, trial.expected)
    except hints.ERRORS:
        return False
    assert len(outputs) == len(reference.outputs)
    return any(o is not None and not equal(o, e) for o, e in zip(outputs, trial.expected))


# ---------------------------------------------------------------------------
# Functions that do not get as far as wrong values
# ---------------------------------------------------------------------------
def raises(x):
    return x[99]


def exits(x):
    raise SystemExit(1)


def never_ends(x):
    i = 0
    while i < 10:
        x = x + 0
    return x


def swallows_exceptions(x):
    while x.size:
        try:
            sum(range(1000))
        except Exception:
            continue
    return np.maximum(x, 0)


def returns_nothing(x):
    np.maximum(x, 0)


def returns_a_list(x):
    return np.maximum(x, 0).tolist()


def returns_a_tensor(x):
    return minicnn.functional.relu(minicnn.Tensor(x))


def returns_integers(x):
    return np.maximum(x, 0).astype(int)


def returns_another_shape(x):
    return np.maximum(x, 0).ravel()[:0]


def returns_nan(x):
    return x * np.where(x > 0, 1, np.nan)


def changes_its_argument(x):
    x[x < 0] = 0
    return x


KINDS = [
    (raises, "raised IndexError: .*\n    in line .*: return x.99."),
    (exits, "raised SystemExit"),
    (never_ends, "did not finish within 0.5 seconds"),
    (swallows_exceptions, "did not finish within 0.5 seconds"),
    (returns_nothing, "returned None"),
    (returns_a_list, "returned a (list|float) instead of an array"),
    (returns_a_tensor, "returned a Tensor instead of an array"),
    (returns_integers, "returned int64 instead of float64"),
    (returns_another_shape, r"returned the shape \(0,\) instead of \("),
    (returns_nan, r"returned NaN \(not a number\)"),
    (changes_its_argument, "changed its argument x, which belongs to the caller"),
]


@pytest.mark.parametrize(("function", "problem"), KINDS, ids=lambda v: getattr(v, "__name__", ""))
def test_other_failures_are_told_plainly(function, problem):
    threads = threading.active_count()
    report = check(function, like="relu", time_limit=0.5)
    assert not report.passed
    assert re.match(problem, report.problem)
    assert set(report.case) == {"x"}
    assert threading.active_count() <= threads, "no loop goes on behind the reader's back"


def test_hints_for_other_failures():
    assert check(returns_nothing, "relu").hint == "End it with `return y`."
    assert "x = x.copy()" in check(changes_its_argument, "relu").hint
    assert "x.dtype" in check(returns_integers, "relu").hint


def test_exceptions_and_time_limits_are_what_was_got():
    assert isinstance(check(raises, "relu").got, IndexError)
    assert isinstance(check(never_ends, "relu", time_limit=0.2).got, TimeoutError)


def test_an_argument_that_the_function_changes_is_whole_in_the_report():
    report = check(changes_its_argument, "relu")
    assert (report.case["x"] < 0).any()


def test_missing_outputs():
    report = check(lambda dy, x, w: (dy @ w, x), "linear_backward")
    assert report.problem == "returned 2 outputs instead of 3: (dx, dw, db)"


def test_a_function_with_moods_is_no_crash():
    calls = []

    def moody(x):
        calls.append(x)
        return np.maximum(x, 0) + (len(calls) % 3 == 0)

    assert not check(moody, "relu").passed


def test_a_long_call_into_c_is_left_behind():
    def sleeps(x):
        time.sleep(5)

    start = time.monotonic()
    report = check(sleeps, "relu", time_limit=0.2)
    assert "still runs" in report.problem
    assert time.monotonic() - start < 5


def test_what_the_function_prints_is_not_shown(capsys):
    def prints(x):
        print("here")
        return np.maximum(x, 0)

    assert check(prints, "relu")
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------------------
# Which arguments are varied
# ---------------------------------------------------------------------------
def seen(like, arguments):
    """The values of these arguments in all calls of a right function that takes them."""
    values = {name: [] for name in arguments}
    right = globals()[f"my_{like}"]

    def function(**given):
        for name, value in given.items():
            values[name].append(value)
        return right(**given)

    namespace = {"function": function}
    call = ", ".join(f"{name}={name}" for name in arguments)
    exec(f"def f({', '.join(arguments)}): return function({call})", namespace)
    assert check(namespace["f"], like)
    return values


def test_arguments_not_taken_are_not_varied():
    def plain(x, w):
        return my_conv2d(x, w)

    report = check(plain, "conv2d")
    assert report.passed
    assert {"b", "stride", "padding"} <= set(report.left_out)
    assert report.left_out["stride"] == 1 and report.left_out["padding"] == 0


@pytest.mark.parametrize("function", [plain_cross_entropy, plain_cross_entropy_backward])
def test_a_plain_cross_entropy_passes_and_is_told_what_there_is_besides(function):
    report = check(function, like=function.__name__.removeprefix("plain_"))
    assert report.passed
    assert report.left_out == {"w": None, "ignore_index": -100, "label_smoothing": 0.0}


def test_weights_ignored_rows_and_smoothing_are_varied_and_a_row_always_counts():
    values = seen("cross_entropy", ["x", "t", "weight", "ignore_index", "label_smoothing"])
    assert {True, False} == {bool((w == 1).all()) for w in values["weight"]}
    assert all((w > 0).all() for w in values["weight"])
    assert len(set(values["ignore_index"])) > 2
    assert {0.0, 0.5, 1.0} <= set(values["label_smoothing"])
    kept = [t != k for t, k in zip(values["t"], values["ignore_index"], strict=True)]
    assert all(k.any() for k in kept) and not all(k.all() for k in kept)


def test_settings_come_as_numbers_and_as_pairs_and_arrays_in_any_order():
    values = seen("conv2d", ["x", "w", "b", "stride", "padding"])
    for name in ("stride", "padding"):
        assert {type(v) for v in values[name]} == {int, tuple}
        assert all(v[0] != v[1] for v in values[name] if isinstance(v, tuple))
    assert all(b is not None for b in values["b"]), "None goes only where the default is None"
    contiguous = {x.flags.c_contiguous for x in values["x"]}
    assert contiguous == {True, False}
    assert any((x != np.rint(x)).any() for x in values["x"])


def test_other_names_for_arguments_are_understood():
    def renamed(image, /, filters, *, bias=None):
        return my_conv2d(image, filters, bias)

    report = check(renamed, like="conv2d")
    assert report.passed

    def wrong_and_renamed(input, weight):
        return my_conv2d(input, -weight)

    report = check(wrong_and_renamed, "conv2d")
    assert list(report.case) == ["input", "weight"] and report.hint == "The sign is wrong."


ERRORS = {
    "unknown": (lambda: check(my_relu, "rellu"), ValueError,
                r"check: like expects one of accuracy, .*winograd, but got 'rellu'"),
    "time limit": (
        lambda: check(my_relu, time_limit=0), ValueError, r"more than 0 seconds, but got 0"),
    "lambda": (lambda: check(lambda x: x), ValueError, r"got '<lambda>'; say which is meant"),
    "no function": (lambda: check(3, "relu"), TypeError, r"expects a function, but got 3"),
    "unknown argument": (
        lambda: check(lambda x, slope: x, "relu"), ValueError,
        r"takes an argument 'slope', but the arguments are those of relu\(x\); rename it"),
    "mistyped": (
        lambda: check(lambda x, w, strid=1: x, "conv2d"), ValueError, r"argument 'strid=1'"),
    "any arguments": (lambda: check(lambda *args: 0, "relu"), ValueError, r"argument '\*args'"),
    "the same twice": (
        lambda: check(lambda x, input: x, "relu"), ValueError, r"takes an argument 'input'"),
    "missing argument": (
        lambda: check(lambda x: x, "conv2d"), ValueError,
        r"takes no argument w, but the arguments are those of conv2d\(x, w, b, stride"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


# ---------------------------------------------------------------------------
# The report, and the table of mistakes
# ---------------------------------------------------------------------------
def test_report_of_a_wrong_function():
    """Which case is found changes with the constants in our code: hypothesis draws them, too."""
    report = check(flipped_kernel, "conv2d")
    assert report.case["w"].size == 2 and report.case["x"].size + 2 * report.case["padding"] <= 3
    text = re.sub(r"\d+ were tried", "209 were tried", repr(report))
    text = re.sub(r"shape \([1-3, ]+\):\n(?: +\[.*\n)+", "numbers\n", text)
    text = re.sub("padding = 1", "padding = 0", text)
    assert text == """\
flipped_kernel is not like conv2d yet: it returned wrong values.

The smallest failing case that was found (209 were tried):
  x, numbers
  w, numbers
  b = None
  stride = 1
  padding = 0
  expected, numbers
  got, numbers

Hint: The kernel is flipped, as in the convolution of mathematics. Networks do not flip it: \
x[i + u, j + v] is multiplied by w[u, v].

Try it yourself: flipped_kernel(**report.case)"""


def test_report_of_a_function_that_raises():
    assert re.sub(r"line \d+", "line 5", repr(check(raises, "relu"))) == """\
raises is not like relu yet: it raised IndexError: index 99 is out of bounds for axis 0 with size 1
    in line 5: return x[99]

The smallest failing case that was found (3 were tried):
  x, shape (1,):
      [0.]
  expected, shape (1,):
      [0.]

Hint: Call it with this case and look at the line named above.

Try it yourself: raises(**report.case)"""


def test_report_of_a_right_function():
    assert repr(check(my_relu)) == "my_relu passed: 240 cases agree with relu."
    report = Report("f", "relu", True, 5, {"x": 1})
    assert repr(report).endswith("Not tried, because f does not take it: x.")
