// The largest number m of a row and s = sum of e^(x - m), in one pass, by one warp ("online
// softmax"): where a lane meets a new maximum m' it rescales its sum, s = s e^(m - m') + 1. Lane l
// takes the elements l, l + 32, ..., `step` numbers apart; five shuffles join the lanes. All 32
// lanes must call, and all get m and s.
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
#pragma once
#include "common.cuh"

__device__ __forceinline__ void online_softmax(const real* row, int K, long long step, real& m,
                                               real& s)
{
    m = -REAL_INFINITY;
    s = 0;
    for (int k = threadIdx.x % 32; k < K; k += 32) {
        real value = row[k * step];
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
}

// The sum of one number per lane, in all lanes.
__device__ __forceinline__ real warp_sum(real value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}
