// Sums of a matrix's columns, rung 3: two passes. y[c] = sum over r of x[r,c], for x (R, C).
//
// parts: block b adds up 32 columns over part b / tiles of the rows (tiles: how many times 32
//   columns there are), with 32 x 8 threads as on rung 2. It writes partial (parts, C).
// join: a thread per column adds up its parts, always in the same order.
// Reads and writes: R / (8 parts) numbers read per thread; then `parts` numbers per column.
// Why: rung 2 has a block for 32 columns. With 64 channels two blocks would read a whole batch of
//   activations, and most of the GPU would look on.
#include "common.cuh"

#define COLUMNS 32
#define ROWS 8

extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
parts(const real* x, real* partial, long long R, int C, long long rows_of_part)
{
    __shared__ real sums[ROWS][COLUMNS];

    int tiles = (C - 1) / COLUMNS + 1, part = blockIdx.x / tiles;
    int c = blockIdx.x % tiles * COLUMNS + threadIdx.x;
    long long first = part * rows_of_part, last = min(first + rows_of_part, R);
    real total = 0;
    if (c < C)
        for (long long r = first + threadIdx.y; r < last; r += ROWS)
            total += x[r * C + c];
    sums[threadIdx.y][threadIdx.x] = total;
    __syncthreads();

    if (threadIdx.y > 0 || c >= C) return;
    total = 0;
    for (int j = 0; j < ROWS; j++)
        total += sums[j][threadIdx.x];
    partial[(long long)part * C + c] = total;
}

extern "C" __global__ void __launch_bounds__(256)
join(const real* partial, real* y, int parts, int C)
{
    long long c = thread_index();
    if (c >= C) return;
    real total = 0;
    for (long long part = 0; part < parts; part++) total += partial[part * C + c];
    y[c] = total;
}
