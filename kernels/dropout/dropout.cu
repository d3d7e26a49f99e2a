// Dropout: y = x / keep where the element's toss u < round(keep 2^32), else 0. Its gradient is the
// same with dy for x: the tosses are looked up again, so no mask is stored.
//
// Tosses are counter-based (Philox 4x64-10, Salmon and others, 2011, as numpy.random.Philox): block
//   counter + 1 + b of the key has four words of 64 bits for elements 8b to 8b + 7, two in each
//   word, the low half first.
// dropout: Threads: one per block of eight elements. Eight numbers read, eight written; a warp
//   reads 256 elements that lie side by side, so every byte fetched is used. A thread per element
//   would have to compute each block eight times.
// scale_channels: y[n,p,c] = x[n,p,c] factor[n,c], for whole channels dropped; the factors are the
//   dropout of N*C ones. Threads: one per element; two numbers read, one written.
#include "common.cuh"

typedef unsigned long long word;

// One of two products of a round: the high and the low 64 bits of counter * multiplier.
__device__ __forceinline__ void multiply(word counter, word multiplier, word* high, word* low)
{
    *high = __umul64hi(counter, multiplier);
    *low = counter * multiplier;
}

__device__ __forceinline__ void philox(word counter, word key, word words[4])
{
    word key_0 = key, key_1 = 0;
    words[0] = counter;
    words[1] = words[2] = words[3] = 0;
    for (int round = 0; round < 10; round++) {
        word high_0, low_0, high_1, low_1;
        multiply(words[0], 0xD2E7470EE14C6C93ull, &high_0, &low_0);
        multiply(words[2], 0xCA5A826395121157ull, &high_1, &low_1);
        words[0] = high_1 ^ words[1] ^ key_0;
        words[2] = high_0 ^ words[3] ^ key_1;
        words[1] = low_1;
        words[3] = low_0;
        key_0 += 0x9E3779B97F4A7C15ull;
        key_1 += 0xBB67AE8584CAA73Bull;
    }
}

extern "C" __global__ void __launch_bounds__(256)
dropout(const real* x, real* y, long long elements, unsigned long long key,
        unsigned long long counter, unsigned long long threshold, real scale)
{
    long long block = thread_index();
    long long first = block * 8;
    if (first >= elements) return;

    word words[4];
    philox(counter + 1 + block, key, words);
    for (int k = 0; k < 4; k++) {
        for (int half = 0; half < 2; half++) {
            long long i = first + 2 * k + half;
            word toss = half ? words[k] >> 32 : words[k] & 0xffffffffu;
            if (i < elements) y[i] = x[i] * (toss < threshold ? scale : (real)0);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256)
scale_channels(const real* x, const real* factor, real* y, long long elements, int C,
               long long pixels)
{
    long long i = thread_index();
    if (i >= elements) return;
    y[i] = x[i] * factor[i / (pixels * C) * C + i % C];
}
