// Softmax cross-entropy of scores x (N, K) against classes t (N,).
//
// forward: the row's largest score m and the sum s of e^(x - m) in one pass (see
//   online_softmax.cuh). Then log_sum = m + log s, and the row's loss is (log_sum - x[t]) / N; the
//   mean is the sum of these.
//   Threads: one warp per row; lane l takes columns l, l + 32, ...
//   Reads and writes: K / 32 numbers read per thread, once; two written per row.
// backward: dx[n,k] = (e^(x[n,k] - log_sum[n]) - [k = t[n]]) dy / N.
//   Threads: one per element.
#include "online_softmax.cuh"

#define WARPS 4  // rows per block

extern "C" __global__ void __launch_bounds__(32 * WARPS)
softmax_cross_entropy_forward(const real* x, const long long* t, real* loss, real* log_sum,
                              long long N, int K)
{
    long long n = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (n >= N) return;  // whole warps: the shuffles have all their lanes
    const real* row = x + n * K;
    real m, s;
    online_softmax(row, K, 1, m, s);
    if (threadIdx.x % 32 == 0) {
        log_sum[n] = m + (real)log(s);
        loss[n] = (m - row[t[n]] + (real)log(s)) / N;
    }
}

extern "C" __global__ void __launch_bounds__(256)
softmax_cross_entropy_backward(const real* x, const long long* t, const real* log_sum,
                               const real* dy, real* dx, long long N, int K)
{
    long long i = thread_index();
    if (i >= N * K) return;
    long long n = i / K;
    int k = i % K;
    real p = (real)exp(x[i] - log_sum[n]);
    dx[i] = (p - (k == t[n] ? 1 : 0)) * dy[0] / N;
}
