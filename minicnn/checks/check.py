"""`check(my_conv2d)`: a student's function is tried against minicnn's own."""

from __future__ import annotations

import contextlib
import os

from minicnn.checks.report import Report
from minicnn.checks.search import Search
from minicnn.checks.student import Student


def check(function, like=None, *, time_limit=2.0) -> Report:
    """Try a function on NumPy arrays against minicnn's function of that name.

    Arguments are drawn by hypothesis: small arrays with ragged sizes, first of whole numbers, in
    any memory order (images are always (N, C, H, W)), and kernels, strides and paddings as a number
    or as a pair. The first wrong result is made smaller until nothing can be left out, and compared
    with the results of known mistakes. The same function always gets the same cases.

    Parameters
    ----------
    function : callable or str
        Takes and returns NumPy arrays (float64). Arguments it does not take are not varied:
        `def my_conv2d(x, w)` is tried without bias, with stride 1 and padding 0. None (no bias, the
        stride a pooling uses when left out) is given only to an argument whose default is None.
        A str is the source of a CUDA kernel, `saxpy` or `transpose` (see
        `minicnn.checks.kernels`): it runs in the emulator, and what the sanitizer finds is a
        mistake, too.
    like : str, optional
        What the function should do; its own name without `my_`, if left out. One of:

        - conv2d(x, w, b, stride, padding, dilation, groups) -> y
        - conv2d_backward(dy, x, w, stride, padding, dilation, groups) -> (dx, dw, db)
        - im2col(x, kernel_size, stride, padding, dilation) -> col, with a row for each output
          pixel (n, i, j), and in it the window's numbers in the order (u, v, c):
          (N*OH*OW, KH*KW*C)
        - im2col_backward(dy, x, kernel_size, stride, padding, dilation) -> dx
        - col2im(col, size, kernel_size, stride, padding, dilation) -> x, where size is the shape
          (N, C, H, W) of x, and col2im_backward(dy, col, size, ...) -> dcol
        - max_pool2d(x, kernel_size, stride, padding) -> y, and avg_pool2d
        - max_pool2d_backward(dy, x, kernel_size, stride, padding) -> dx, and avg_pool2d_backward.
          Where a window holds its largest value twice, the first place in row-major order gets dy
        - relu(x) -> y, and relu_backward(dy, x) -> dx; sigmoid and tanh likewise
        - linear(x, w, b) -> y, and linear_backward(dy, x, w) -> (dx, dw, db)
        - cross_entropy(x, t, w, ignore_index, label_smoothing) -> y, of scores x (N, K), class
          numbers t (N,) and weights w (K,) of the classes, and
          cross_entropy_backward(dy, x, t, w, ignore_index, label_smoothing) -> dx; dy is 1 if not
          taken
        - batch_norm(x, w, b, eps) -> y, with the mean and variance of this batch, and
          batch_norm_backward(dy, x, w, b, eps) -> (dx, dw, db)
        - the course's small functions: grey(x) -> y of colour images (N, 3, H, W);
          standardize(x, mean, std) -> y; output_size(size, kernel, stride, padding) -> int;
          conv_parameters(in_channels, out_channels, kernel, bias) -> int; receptive_field(layers)
          -> int, of rows (kernel, stride); sgd_step(w, dw, v, lr, momentum) -> (w, v)
        - about machines: conv_macs(size, in_channels, out_channels, kernel, stride, padding,
          groups) -> int; line_fit(x, y) -> (a, b, r); tiled_matmul(a, b, tile) -> y;
          winograd(x, w) -> y (2,) of x (4,) and w (3,); sectors(addresses) -> int, of 4-byte
          numbers; bank_cycles(words) -> int
        - dropout(x, p, mask) -> y, where mask is True for what is kept, and
          dropout_backward(dy, x, p, mask) -> dx

        The words of `minicnn.functional` (input, weight, bias, target) are understood, too.
    time_limit : float
        Seconds that one call may take.

    Returns
    -------
    Report
        True in an `if` or `assert` when all cases agree; else it shows the smallest failing case.

    Raises
    ------
    ValueError
        If `like` is unknown, the function's arguments are not those of what it should be like, or
        the time limit is not above 0.
    TypeError
        If `function` cannot be called.
    EmulatorError
        If a kernel does not compile, or there is no C++ compiler.
    """
    if not time_limit > 0:
        raise ValueError(f"check: time_limit expects more than 0 seconds, but got {time_limit}")
    search = Search(Student(function, like), time_limit)
    with contextlib.redirect_stdout(open(os.devnull, "w")) as sink, sink:  # hundreds of calls
        search.run()
        return search.report()
