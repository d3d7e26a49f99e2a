// Sum of an array, rung 4: shuffles. y[b] = the sum of the 256 numbers of block b; what the blocks
// found is added up in the same way.
//
// Threads: one per number; blocks of 256.
// Reads and writes: one number of x read; a warp writes one number to shared memory, and the first
//   warp reads 8. A block writes one number.
// Why: within a warp numbers go from register to register (block_sum.cuh): 5 shuffles instead of 5
//   rounds through shared memory, and one barrier instead of 9.
#include "block_sum.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS) sum(const real* x, real* y, long long n)
{
    __shared__ real of_warp[THREADS / 32];
    long long i = thread_index();
    real total = block_sum<THREADS>(i < n ? x[i] : (real)0, of_warp);
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}
