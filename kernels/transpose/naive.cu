// Transposition, rung 1: naive. y[c,r] = x[r,c], for x (R, C).
//
// Threads: one per number, in the order of x.
// Reads and writes: one number each. Neighbours read neighbouring numbers, but write numbers R
//   places apart: a warp's 32 numbers take 32 transfers of 32 bytes, for 4 bytes each.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
transpose(const real* x, real* y, int R, int C)
{
    long long index = thread_index();
    int c = index % C;
    long long r = index / C;
    if (r < R) y[(long long)c * R + r] = x[index];
}
