// y = 2 x with a loop over the grid. The bug: the loop never goes on to the next element.
#include "common.cuh"

extern "C" __global__ void twice(const float* x, float* y, int n)
{
    long long i = thread_index();
    while (i < n) {  // BUG
        y[i] = 2 * x[i];
#ifdef FIXED
        i += thread_count();
#endif
    }
}
