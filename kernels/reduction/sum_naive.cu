// Sum of an array, rung 1: naive. y[0] = x[0] + ... + x[n-1].
//
// Threads: one, alone on the GPU.
// Reads and writes: n numbers read, one after the other, each for a transfer of its own; one
//   written. Every addition waits for the one before.
#include "common.cuh"

extern "C" __global__ void sum(const real* x, real* y, long long n)
{
    real total = 0;
    for (long long i = 0; i < n; i++) total += x[i];
    y[0] = total;
}
