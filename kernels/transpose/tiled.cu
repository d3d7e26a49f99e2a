// Transposition, rung 2: through shared memory. y[c,r] = x[r,c], for x (R, C).
//
// Threads: 32 x 32 move a tile of 32 x 32 numbers, one each.
// Reads and writes: one number from global to shared memory, and one from there to y. Neighbours
//   read neighbouring numbers of a row of x, and write neighbouring numbers of a row of y: the
//   tile is turned in shared memory.
// Why: global memory is read and written in whole transfers, four for a warp's 32 numbers, where
//   rung 1 writes with 32.
#include "common.cuh"

#define TILE 32

extern "C" __global__ void __launch_bounds__(TILE * TILE)
transpose(const real* x, real* y, int R, int C)
{
    __shared__ real tile[TILE][TILE];

    int tiles = (C - 1) / TILE + 1, i = threadIdx.x, j = threadIdx.y;
    long long r = (long long)(blockIdx.x / tiles) * TILE;
    long long c = (long long)(blockIdx.x % tiles) * TILE;
    if (r + j < R && c + i < C) tile[j][i] = x[(r + j) * C + c + i];
    __syncthreads();
    if (c + j < C && r + i < R) y[(c + j) * R + r + i] = tile[i][j];
}
