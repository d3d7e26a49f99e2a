// Transposition, rung 4: four numbers a thread. y[c,r] = x[r,c], for x (R, C).
//
// Threads: 32 x 8 move a tile of 32 x 32 numbers, four each: rows j, j + 8, j + 16 and j + 24.
// Reads and writes: four numbers from global to shared memory, and four from there to y.
// Why: on rung 3 a thread asks for one number and waits for it at the barrier. Here four are on
//   their way at a time, and what a thread works out about its place serves four numbers.
#include "common.cuh"

#define TILE 32
#define ROWS 8

extern "C" __global__ void __launch_bounds__(TILE * ROWS)
transpose(const real* x, real* y, int R, int C)
{
    __shared__ real tile[TILE][TILE + 1];

    int tiles = (C - 1) / TILE + 1, i = threadIdx.x;
    long long r = (long long)(blockIdx.x / tiles) * TILE;
    long long c = (long long)(blockIdx.x % tiles) * TILE;
    #pragma unroll
    for (int j = threadIdx.y; j < TILE; j += ROWS)
        if (r + j < R && c + i < C) tile[j][i] = x[(r + j) * C + c + i];
    __syncthreads();
    #pragma unroll
    for (int j = threadIdx.y; j < TILE; j += ROWS)
        if (c + j < C && r + i < R) y[(c + j) * R + r + i] = tile[i][j];
}
