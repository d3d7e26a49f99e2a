// Softmax cross-entropy of scores x (N, K) against classes t (N,).
//
// forward, one pass over a row: largest score m and sum s of e^(x - m) together ("online softmax"):
//   a new maximum m' rescales the sum, s = s e^(m - m') + e^(x - m'). Then log_sum = m + log s, and
//   the row's loss is (log_sum - x[t]) / N; the mean is the sum of these.
//   Threads: one warp per row; lane l takes columns l, l + 32, ...; five shuffles join the lanes.
//   Reads and writes: K / 32 numbers read per thread, once; two written per row.
// backward: dx[n,k] = (e^(x[n,k] - log_sum[n]) - [k = t[n]]) dy / N.
//   Threads: one per element.
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
#include "common.cuh"

#define WARPS 4  // rows per block

extern "C" __global__ void __launch_bounds__(32 * WARPS)
softmax_cross_entropy_forward(const real* x, const long long* t, real* loss, real* log_sum,
                              long long N, int K)
{
    int lane = threadIdx.x % 32;
    long long n = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (n >= N) return;  // whole warps: the shuffles below have all their lanes
    const real* row = x + n * K;

    real m = -REAL_INFINITY, s = 0;
    for (int k = lane; k < K; k += 32) {
        real value = row[k];
        if (value > m) {
            s = s * (real)exp(m - value) + 1;
            m = value;
        } else if (value == m) {
            s += 1;  // also at -infinity, where value - m would be NaN
        } else {
            s += (real)exp(value - m);
        }
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        real m_other = __shfl_xor_sync(0xffffffffu, m, distance);
        real s_other = __shfl_xor_sync(0xffffffffu, s, distance);
        real top = m > m_other ? m : m_other;
        real mine = m == top ? s : s * (real)exp(m - top);
        real others = m_other == top ? s_other : s_other * (real)exp(m_other - top);
        m = top;
        s = mine + others;
    }
    if (lane == 0) {
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
