// The sum of 32 numbers by one warp, through shared memory. The bug: it counts on the 32 threads to
// run in step. They did until 2017 (sm_70); since then only __syncwarp() makes them.
#include "common.cuh"

#ifdef FIXED
#define WAIT __syncwarp()
#else
#define WAIT
#endif

extern "C" __global__ void warp_sum(const float* x, float* sum)
{
    __shared__ float part[32];
    int lane = threadIdx.x;
    part[lane] = x[lane];
    __syncwarp();
    for (int distance = 16; distance > 0; distance /= 2) {
        float other = part[(lane + distance) % 32];  // BUG
        WAIT;
        part[lane] += other;
        WAIT;
    }
    if (lane == 0) *sum = part[0];
}
