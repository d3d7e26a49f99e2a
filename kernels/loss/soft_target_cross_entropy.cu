// Softmax cross-entropy of scores x (N, K) against any target numbers q (N, K): probabilities,
// smoothed classes, weighted classes.
//
// forward: loss[n] = sum over k of q[n,k] (log_sum[n] - x[n,k]), log_sum = m + log(sum of e^(x-m)).
//   One pass finds m and the sum (see online_softmax.cuh), a second one the loss and total = sum
//   of q. m and log(sum) are kept apart: added up, they lose the digits of a small loss.
//   Threads: one warp per row; lane l takes columns l, l + 32, ...
//   Reads and writes: 3 K / 32 numbers read per thread; four written per row.
// backward: with log p = x - log_sum, dx[n,k] = (p[n,k] total[n] - q[n,k]) dy[n], and
//   dq[n,k] = -log p[n,k] dy[n], unless dq is null.
//   Threads: one per element.
#include "online_softmax.cuh"

#define WARPS 4  // rows per block

extern "C" __global__ void __launch_bounds__(32 * WARPS)
soft_target_forward(const real* x, const real* q, real* loss, real* maximum, real* log_s,
                    real* total, long long N, int K)
{
    long long n = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (n >= N) return;  // whole warps: the shuffles have all their lanes
    real m, s, sum = 0, weight = 0;
    online_softmax(x + n * K, K, 1, m, s);
    s = (real)log(s);
    for (int k = threadIdx.x % 32; k < K; k += 32) {
        real wanted = q[n * K + k];
        if (wanted != 0)  // 0 log 0 counts as 0
            sum += wanted * (m - x[n * K + k] + s);
        weight += wanted;
    }
    sum = warp_sum(sum);
    weight = warp_sum(weight);
    if (threadIdx.x % 32 == 0) {
        loss[n] = sum;
        maximum[n] = m;
        log_s[n] = s;
        total[n] = weight;
    }
}

extern "C" __global__ void __launch_bounds__(256)
soft_target_backward(const real* x, const real* q, const real* maximum, const real* log_s,
                     const real* total, const real* dy, real* dx, real* dq, long long N, int K)
{
    long long i = thread_index();
    if (i >= N * K) return;
    long long n = i / K;
    real log_p = x[i] - maximum[n] - log_s[n];
    dx[i] = ((real)exp(log_p) * total[n] - q[i]) * dy[n];
    if (dq) dq[i] = -log_p * dy[n];
}
