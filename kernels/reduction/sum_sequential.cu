// Sum of an array, rung 3: a tree whose threads at work stand together. y[b] = the sum of the 256
// numbers of block b; what the blocks found is added up in the same way.
//
// Threads: one per number; blocks of 256. In each round the first half of those that still add
//   adds what the second half has.
// Reads and writes: as rung 2.
// Why: on rung 2 the threads at work are spread over all warps, so every warp takes part in every
//   round, and numbers 2, 4, 8 ... places apart lie in the same banks of shared memory. Here whole
//   warps are done after each round, and neighbours read neighbouring banks.
#include "common.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS) sum(const real* x, real* y, long long n)
{
    __shared__ real part[THREADS];
    int t = threadIdx.x;
    long long i = thread_index();
    part[t] = i < n ? x[i] : (real)0;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0) y[blockIdx.x] = part[0];
}
