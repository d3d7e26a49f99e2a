// Softmax and its logarithm along one axis of x, row-major (A, K, L): row r = a * L + l is
// x[a, 0..K-1, l], its elements L numbers apart (1 for the last axis in memory).
//
// forward: y = e^(x - m) / s, or x - m - log s, with m the row's maximum and s = sum of e^(x - m).
// backward: dx = y (dy - sum of dy y), or dy - e^y (sum of dy).
// Threads: one warp per row; lane l takes elements l, l + 32, ...
// Reads and writes: forward K / 32 numbers read per thread, twice (the second time mostly from the
//   cache), K / 32 written; backward twice as many read. One pass over the row finds m and s
//   together, where the plain way takes two.
#include "online_softmax.cuh"

#define WARPS 4  // rows per block

// Where this warp's row starts; nothing where there is no such row. Whole warps return together,
// so the shuffles have all their lanes.
#define FIND_ROW                                                        \
    long long r = (long long)blockIdx.x * WARPS + threadIdx.x / 32;     \
    if (r >= A * L) return;                                             \
    long long start = r / L * K * L + r % L;

extern "C" __global__ void __launch_bounds__(32 * WARPS)
softmax_forward(const real* x, real* y, long long A, int K, long long L)
{
    FIND_ROW
    real m, s;
    online_softmax(x + start, K, L, m, s);
    for (int k = threadIdx.x % 32; k < K; k += 32)
        y[start + k * L] = (real)exp(x[start + k * L] - m) / s;
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
softmax_backward(const real* dy, const real* y, real* dx, long long A, int K, long long L)
{
    FIND_ROW
    real dot = 0;
    for (int k = threadIdx.x % 32; k < K; k += 32)
        dot += dy[start + k * L] * y[start + k * L];
    dot = warp_sum(dot);
    for (int k = threadIdx.x % 32; k < K; k += 32)
        dx[start + k * L] = y[start + k * L] * (dy[start + k * L] - dot);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
log_softmax_forward(const real* x, real* y, long long A, int K, long long L)
{
    FIND_ROW
    real m, s;
    online_softmax(x + start, K, L, m, s);
    for (int k = threadIdx.x % 32; k < K; k += 32)
        y[start + k * L] = x[start + k * L] - m - (real)log(s);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
log_softmax_backward(const real* dy, const real* y, real* dx, long long A, int K, long long L)
{
    FIND_ROW
    real total = 0;
    for (int k = threadIdx.x % 32; k < K; k += 32)
        total += dy[start + k * L];
    total = warp_sum(total);
    for (int k = threadIdx.x % 32; k < K; k += 32)
        dx[start + k * L] = dy[start + k * L] - (real)exp(y[start + k * L]) * total;
}
