"""Losses as kernels.

The other losses run the readable version: a few passes over arrays that are small beside a net's.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.reduction import column_sum
from minicnn.backends.launch import launch, launch_each


class SoftmaxCrossEntropy:
    """A warp per row forward, a thread per score backward."""

    file = "loss/softmax_cross_entropy.cu"

    def forward(self, x, t):
        (N, K), lib = x.shape, xp(x)
        x, t = lib.ascontiguousarray(x), lib.ascontiguousarray(t)
        loss, log_sum = lib.empty((N, 1), x.dtype), lib.empty(N, x.dtype)
        args = (x, t, loss, log_sum, N, K)
        launch(self.file, "softmax_cross_entropy_forward", (-(-N // 4),), (128,), args,
               dtype=x.dtype)  # fmt: skip
        self.save(x, t, log_sum)
        return column_sum(loss).reshape(())

    def backward(self, dy):
        x, t, log_sum = self.saved
        dx = xp(x).empty(x.shape, x.dtype)
        args = (x, t, log_sum, dy.reshape(1), dx, *x.shape)
        launch_each(self.file, "softmax_cross_entropy_backward", x.size, args, dtype=x.dtype)
        return dx, None


class SoftTargetCrossEntropy:
    """A warp per row forward, a thread per score backward."""

    file = "loss/soft_target_cross_entropy.cu"

    def forward(self, x, q):
        (N, K), lib = x.shape, xp(x)
        x, q = lib.ascontiguousarray(x), lib.ascontiguousarray(q)
        loss, *kept = (lib.empty(N, x.dtype) for _ in range(4))
        launch(self.file, "soft_target_forward", (-(-N // 4),), (128,), (x, q, loss, *kept, N, K),
               dtype=x.dtype)  # fmt: skip
        self.save(x, q, *kept)
        return loss

    def backward(self, dy):
        x, q, *kept = self.saved
        lib = xp(x)
        dx = lib.empty(x.shape, x.dtype)
        dq = lib.empty(x.shape, x.dtype) if self.needs[1] else None
        args = (x, q, *kept, lib.ascontiguousarray(dy), dx, dq, *x.shape)
        launch_each(self.file, "soft_target_backward", x.size, args, dtype=x.dtype)
        return dx, dq


OPERATIONS = (SoftmaxCrossEntropy, SoftTargetCrossEntropy)
