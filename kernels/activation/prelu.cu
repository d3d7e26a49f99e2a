// Parametric ReLU: y = x where x > 0, else a x, with one slope a (A = 1) or one per channel (A = C).
//
// x is row-major (R, C, L): R rows of C channels of L numbers each. For a batch of images in
// channels-last memory L is 1, and R counts pixels.
// Threads: one per element; neighbours read and write neighbouring numbers, and few slopes.
// Reads and writes: two numbers read forward, three backward; one written forward, two backward.
#include "common.cuh"

__device__ __forceinline__ long long channel(long long i, int C, long long L) { return i / L % C; }

extern "C" __global__ void __launch_bounds__(256)
prelu_forward(const real* x, const real* a, real* y, long long elements, int C, long long L, int A)
{
    long long i = thread_index();
    if (i < elements) y[i] = x[i] > 0 ? x[i] : a[A == 1 ? 0 : channel(i, C, L)] * x[i];
}

// dx = dy or a dy. The share of each element in its slope's gradient, dy x where x <= 0, is written
// to `share` (R * L, C), whose columns are then added up: no two threads write to one place.
extern "C" __global__ void __launch_bounds__(256)
prelu_backward(const real* dy, const real* x, const real* a, real* dx, real* share,
               long long elements, int C, long long L, int A)
{
    long long i = thread_index();
    if (i >= elements) return;
    long long c = channel(i, C, L), r = i / (C * L), l = i % L;
    bool positive = x[i] > 0;
    dx[i] = positive ? dy[i] : a[A == 1 ? 0 : c] * dy[i];
    share[(r * L + l) * C + c] = positive ? (real)0 : dy[i] * x[i];
}
