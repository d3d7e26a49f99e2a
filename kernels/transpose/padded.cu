// Transposition, rung 3: without bank conflicts. y[c,r] = x[r,c], for x (R, C).
//
// Threads: 32 x 32 move a tile of 32 x 32 numbers, one each.
// Reads and writes: as rung 2.
// Why: shared memory has 32 banks, and number i lies in bank i % 32. On rung 2 a column of the
//   tile lies in one bank, and a warp that reads it waits 32 times. One more column, never used,
//   moves each row on by a bank: a column then lies in 32 banks.
#include "common.cuh"

#define TILE 32

extern "C" __global__ void __launch_bounds__(TILE * TILE)
transpose(const real* x, real* y, int R, int C)
{
    __shared__ real tile[TILE][TILE + 1];

    int tiles = (C - 1) / TILE + 1, i = threadIdx.x, j = threadIdx.y;
    long long r = (long long)(blockIdx.x / tiles) * TILE;
    long long c = (long long)(blockIdx.x % tiles) * TILE;
    if (r + j < R && c + i < C) tile[j][i] = x[(r + j) * C + c + i];
    __syncthreads();
    if (c + j < C && r + i < R) y[(c + j) * R + r + i] = tile[i][j];
}
