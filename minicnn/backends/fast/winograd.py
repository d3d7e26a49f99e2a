"""Winograd's convolution, F(2x2, 3x3) and F(4x4, 3x3): fewer multiplications for 3x3, stride 1.

Two neighbouring outputs of a filter (g0, g1, g2) over a row (d0, d1, d2, d3) take six
multiplications; Winograd's F(2, 3) takes four:

    m1 = (d0 - d2) g0                        y0 = d0 g0 + d1 g1 + d2 g2 = m1 + m2 + m3
    m2 = (d1 + d2) (g0 + g1 + g2) / 2        y1 = d1 g0 + d2 g1 + d3 g2 = m2 - m3 - m4
    m3 = (d2 - d1) (g0 - g1 + g2) / 2
    m4 = (d1 - d3) g2

As matrices, y = A ((G g) * (B d)), where * multiplies element by element. F(4, 3) makes four
outputs of six numbers with six multiplications instead of twelve. In two dimensions rows and
columns are transformed both: a tile of P x P inputs, P = F + 2, gives F x F outputs with P^2
multiplications instead of 9 F^2: 2.25 times fewer for F = 2, 4 times fewer for F = 4. Unrolled to
columns of P^2 numbers, both transforms at once are the Kronecker products A2 = A x A (F^2, P^2),
G2 = G x G (P^2, 9) and B2 = B x B (P^2, P^2).

The transforms do not depend on the channels, so sums over channels can be done in between, and what
was P^2 multiplications becomes P^2 matrix products, one for each point p:

    V[p] = B2 tiles of x      (tiles, C)          U[p] = G2 filters      (O, C)
    M[p] = V[p] U[p]'         (tiles, O)          tiles of z = A2 M

**Gradients.** That of x is a convolution of dz with the filters turned by half a turn. For the
weights, go back through the formula: dM = A2' (tiles of dz), dU[p] = dM[p]' V[p], dw = G2' dU.

**Fused or staged.** A block of tiles passes through all steps while it is in one core's cache,
where U is small enough to stay there, too. With many channels U alone fills the cache, and each
block would fetch it again; then each step is done for all tiles, and the products are shared by
points.

The price is precision: B and G add numbers of different sizes, so that F(4x4) is wrong by 2e-6 to
5e-6 of the largest result where im2col is wrong by 2e-7. Hence float32 only, and float64 never.

Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray, "Fast algorithms for
convolutional neural networks", 2016.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiles import WORTH_SHARING, even, length
from minicnn.backends.fast.winograd_tiles import NUMPY, blocks_of, groups_of, parts_of
from minicnn.backends.fast.workers import PerWorker, get_num_threads, run

BLOCK = 2**22  # bytes of V and M
STAGED = 128 * 128  # C O from which on it is done in stages
PARTS = 8  # sums of a weight gradient, fused


# ---------------------------------------------------------------------------
# The three directions
# ---------------------------------------------------------------------------
def forward(x, w, geometry, end, F=4, transforms=NUMPY):
    """y (N, OH, OW, O)."""
    y = memory.empty(geometry.y_shape, x.dtype)
    if w.shape[0] * w.shape[3] < STAGED:
        U = transforms.filters(w.transpose(3, 1, 2, 0), F, turned=False)
    else:
        U = transforms.filters(w, F, turned=False).transpose(0, 2, 1)
    return convolve(x, U, y, geometry.padding, F, transforms, end)


def input_gradient(dz, w, geometry, F=4, transforms=NUMPY):
    """dx (N, H, W, C)."""
    dx = memory.empty(geometry.x_shape, dz.dtype)
    U = transforms.filters(w, F, turned=True)
    return convolve(dz, U, dx, tuple(2 - p for p in geometry.padding), F, transforms)


def weight_gradient(x, dz, geometry, F=4, transforms=NUMPY):
    """dw (O, 3, 3, C)."""
    g = geometry
    staged = g.C * g.O >= STAGED
    blocks = blocks_of(dz, g.C, F, BLOCK)
    V = transforms.images(x, blocks, g.padding, F)
    dM = transforms.output_gradients(dz, blocks, F)
    add = _staged_sum if staged else _fused_sum
    shape = (F + 2) ** 2, g.O, g.C
    return transforms.filter_gradient(add(V, dM, blocks, shape), F)


# ---------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------
def convolve(x, U, y, padding, F, transforms, end=None):
    """Fill y (N, OH, OW, O) from x (N, H, W, C) and U (P*P, C, O)."""
    _, C, O = U.shape
    staged = C * O >= STAGED
    blocks = blocks_of(y, C, F, BLOCK)
    V, Y = transforms.images(x, blocks, padding, F), transforms.outputs(y, blocks, F, end)
    if staged:
        for group in groups_of(blocks, C + O, F):
            _staged(U, V, Y, group)
    else:
        _fused(U, V, Y, blocks)
    return y


def _staged(U, V, Y, blocks):
    """Each step for all blocks, then the next step."""
    points, C, O = U.shape
    parts, p = parts_of(blocks), groups_of_points(points)
    images = memory.empty((points, parts[-1].stop, C))
    products = memory.empty((points, parts[-1].stop, O))

    run(lambda worker, k: V.of(worker, blocks[k], images[:, parts[k]]), len(blocks))
    run(lambda worker, k: np.matmul(images[p[k]], U[p[k]], out=products[p[k]]), len(p))
    run(lambda worker, k: Y.put(worker, blocks[k], products[:, parts[k]]), len(blocks))


def groups_of_points(points):
    """A few for each thread: a call between the threads costs as much as a point's product."""
    return even(points, -(-points // (2 * get_num_threads())))


def _fused(U, V, Y, blocks):
    """All steps for a block, then the next block."""
    points, C, O = U.shape
    tiles = max(length(t.rows) for t in blocks)
    images = PerWorker(lambda: memory.empty((points, tiles, C)))
    products = PerWorker(lambda: memory.empty((points, tiles, O)))

    def block(worker, k):
        t = blocks[k]
        v = V.of(worker, t, images[worker][:, : length(t.rows)])
        m = np.matmul(v, U, out=products[worker][:, : length(t.rows)])
        Y.put(worker, t, m)

    run(block, len(blocks), parallel=points * blocks[-1].rows.stop * C * O > WORTH_SHARING)


# ---------------------------------------------------------------------------
# Weight gradient: dU (P*P, O, C), summed over all tiles
# ---------------------------------------------------------------------------
def _staged_sum(V, dM, blocks, shape):
    points, O, C = shape
    dU = memory.empty(shape)
    dU[...] = 0
    for group in groups_of(blocks, C + O, V.F):
        _add_stage(V, dM, group, dU)
    return dU


def _add_stage(V, dM, blocks, dU):
    """Transform all blocks, then add dM[p]' V[p] to dU[p], point by point."""
    points, O, C = dU.shape
    parts = parts_of(blocks)
    images = memory.empty((points, parts[-1].stop, C))
    gradients = memory.empty((points, parts[-1].stop, O))
    terms = PerWorker(lambda: memory.empty((O, C)))

    def transform(worker, k):
        V.of(worker, blocks[k], images[:, parts[k]])
        dM.of(worker, blocks[k], gradients[:, parts[k]])

    def point(worker, p):
        dU[p] += np.matmul(gradients[p].T, images[p], out=terms[worker])

    run(transform, len(blocks))
    run(point, points)


def _fused_sum(V, dM, blocks, shape):
    points, O, C = shape
    tiles, parts = max(length(t.rows) for t in blocks), min(PARTS, len(blocks))
    sums = memory.empty((parts, points, O, C))
    images = PerWorker(lambda: memory.empty((points, tiles, C)))
    gradients = PerWorker(lambda: memory.empty((points, tiles, O)))
    terms = PerWorker(lambda: memory.empty((points, O, C)))

    def part(worker, p):
        for k in range(p, len(blocks), parts):
            t = blocks[k]
            v = V.of(worker, t, images[worker][:, : length(t.rows)])
            m = dM.of(worker, t, gradients[worker][:, : length(t.rows)])
            if k == p:
                np.matmul(m.transpose(0, 2, 1), v, out=sums[p])
            else:
                sums[p] += np.matmul(m.transpose(0, 2, 1), v, out=terms[worker])

    run(part, parts, parallel=points * blocks[-1].rows.stop * C * O > WORTH_SHARING)
    return sums[0] if parts == 1 else sums.sum(axis=0)
