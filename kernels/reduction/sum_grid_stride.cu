// Sum of an array, rung 5: two passes. y[b] = the sum of block b's share of x; a second launch with
// one block adds up what the blocks found.
//
// Threads: as many as keep the GPU busy, however long x is; blocks of 256. Thread i adds numbers i,
//   i + threads, i + 2 threads, ...
// Reads and writes: n / threads numbers of x read, neighbours reading neighbouring numbers; a block
//   writes one number.
// Why: on rung 4 a thread reads one number and then takes part in a whole tree: most of the time
//   goes into the tree. Here it adds many numbers in a register first. And it is two launches,
//   where rung 4 needs one for every factor of 256. (Atomics would need one, but would add in
//   another order on every run.)
#include "block_sum.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS) sum(const real* x, real* y, long long n)
{
    __shared__ real of_warp[THREADS / 32];
    real total = 0;
    for (long long i = thread_index(); i < n; i += thread_count()) total += x[i];
    total = block_sum<THREADS>(total, of_warp);
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}
