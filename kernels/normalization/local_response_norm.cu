// Local response normalization of x (N, H, W, C): y[c] = x[c] s[c]^-beta,
// s[c] = k + alpha/size sum of x[c']^2 over c - size/2 <= c' <= c + (size-1)/2, within a pixel.
//
// forward: writes y and s.
//   Threads: one per element; up to `size` numbers read, which its neighbours read, too (they come
//   from the cache), two written.
// backward: dx[c] = dy[c] s[c]^-beta - 2 alpha beta/size x[c] sum of dy[c'] y[c'] / s[c'], the sum
//   over the c' whose window holds c: c - (size-1)/2 <= c' <= c + size/2.
//   Threads: one per element, gathering; up to 3 size + 2 numbers read, one written. With y at
//   hand the power s^(-beta-1) is not needed again for every c'.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
local_response_norm_forward(const real* x, real* y, real* s, long long elements, int C, int size,
                            real share, real beta, real k)
{
    long long i = thread_index();
    if (i >= elements) return;
    int c = i % C;
    int low = max(c - size / 2, 0), high = min(c + (size - 1) / 2, C - 1);

    real total = 0;
    for (int other = low; other <= high; other++) {
        real value = x[i - c + other];
        total += value * value;
    }
    s[i] = k + share * total;
    y[i] = x[i] * (real)pow(s[i], -beta);
}

extern "C" __global__ void __launch_bounds__(256)
local_response_norm_backward(const real* dy, const real* x, const real* y, const real* s, real* dx,
                             long long elements, int C, int size, real share, real beta)
{
    long long i = thread_index();
    if (i >= elements) return;
    int c = i % C;
    int low = max(c - (size - 1) / 2, 0), high = min(c + size / 2, C - 1);

    real total = 0;
    for (int other = low; other <= high; other++) {
        long long j = i - c + other;
        total += dy[j] * y[j] / s[j];
    }
    dx[i] = dy[i] * (real)pow(s[i], -beta) - 2 * share * beta * x[i] * total;
}
