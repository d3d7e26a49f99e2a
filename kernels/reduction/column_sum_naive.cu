// Sums of a matrix's columns, rung 1: naive. y[c] = sum over r of x[r,c], for x (R, C).
//
// Threads: one per column.
// Reads and writes: R numbers read, neighbours reading neighbouring columns; one written.
// A matrix of many rows and few columns, as activations are, has few threads at work.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
column_sum(const real* x, real* y, long long R, int C)
{
    long long c = thread_index();
    if (c >= C) return;
    real total = 0;
    for (long long r = 0; r < R; r++) total += x[r * C + c];
    y[c] = total;
}
