// Sum of an array, rung 2: a tree. y[b] = the sum of the 256 numbers of block b; what the blocks
// found is added up in the same way, until one number is left.
//
// Threads: one per number; blocks of 256. In round r = 0, 1, ... each thread whose number is a
//   multiple of 2^(r+1) adds what its neighbour 2^r further on has.
// Reads and writes: one number of x read; in shared memory two numbers read and one written in a
//   round, by those that still add. A block writes one number.
// Why: additions that do not need each other run side by side: 8 rounds for 256 numbers, where the
//   rung below takes 255 steps. Numbers are added in pairs of like size, so less is rounded off.
#include "common.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS) sum(const real* x, real* y, long long n)
{
    __shared__ real part[THREADS];
    int t = threadIdx.x;
    long long i = thread_index();
    part[t] = i < n ? x[i] : (real)0;
    __syncthreads();
    for (int step = 1; step < THREADS; step *= 2) {
        // Every second, fourth, eighth ... thread: all warps stay busy, with few lanes at work.
        if (t % (2 * step) == 0) part[t] += part[t + step];
        __syncthreads();
    }
    if (t == 0) y[blockIdx.x] = part[0];
}
