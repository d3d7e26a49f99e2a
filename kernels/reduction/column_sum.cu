// Sums of a matrix's columns: y[c] = sum over r of x[r,c], for x (R, C). A bias's gradient.
//
// Threads: a block of 32 x 8 threads adds up 32 columns; thread (i, j) takes rows j, j + 8, ... of
//   column i. Then the 8 partial sums of a column are added in shared memory, always in that order,
//   so the result is the same every time.
// Reads and writes: R / 8 numbers read per thread, neighbours reading neighbouring columns; one
//   number written per column.
#include "common.cuh"

#define COLUMNS 32
#define ROWS 8

extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
column_sum(const real* x, real* y, long long R, int C)
{
    __shared__ real partial[ROWS][COLUMNS];

    int c = blockIdx.x * COLUMNS + threadIdx.x;
    real total = 0;
    if (c < C)
        for (long long r = threadIdx.y; r < R; r += ROWS)
            total += x[r * C + c];
    partial[threadIdx.y][threadIdx.x] = total;
    __syncthreads();

    if (threadIdx.y == 0 && c < C) {
        total = 0;
        for (int j = 0; j < ROWS; j++)
            total += partial[j][threadIdx.x];
        y[c] = total;
    }
}
