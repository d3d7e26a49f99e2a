// Tensor cores and copies that run beside the arithmetic (sm_80 and up), as three small pieces:
//
//   tf32(x)        x rounded to TF32: float's 8 bits of exponent, 10 of its 23 bits of fraction.
//   mma_tf32       D += A B for a whole warp at once: A (16 x 8), B (8 x 8), D (16 x 8).
//   AsyncCopies    16 bytes at a time from global to shared memory, past the registers.
//
// Each is one instruction of the GPU. The emulator's version, beside it, is its definition.
#pragma once
#include "common.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "tensor_core.cuh needs sm_80: TF32 and cp.async came with the A100"
#endif
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define ON_GPU
#endif

// To the nearest TF32 number, ties away from zero. Its bits are a float's, the last 13 being 0.
__device__ __forceinline__ unsigned int tf32(float x)
{
#ifdef ON_GPU
    unsigned int rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
#else
    unsigned int bits = __float_as_uint(x);
    bool finite = (bits & 0x7f800000u) != 0x7f800000u;
    return finite ? (bits + 0x1000u) & 0xffffe000u : bits;
#endif
}

// d += a b, all 32 lanes of the warp together. With g = lane / 4 and t = lane % 4, a lane holds
//   a: A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]       as tf32(...)
//   b: B[t][g], B[t+4][g]                               as tf32(...)
//   d: D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1]   as float
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned int (&a)[4],
                                         const unsigned int (&b)[2])
{
#ifdef ON_GPU
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    // A shuffle moves 8 bytes: the numbers of k = t and of k = t + 4 go together.
    const unsigned int all = 0xffffffffu;
    auto pair = [](unsigned int low, unsigned int high) {
        return (unsigned long long)high << 32 | low;
    };
    auto number = [](unsigned long long two, int which) {
        return __uint_as_float((unsigned int)(two >> 32 * which));
    };
    unsigned long long upper[4], lower[4], left[4], right[4];
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int i = 0; i < 4; i++) {
        upper[i] = __shfl_sync(all, pair(a[0], a[2]), 4 * g + i);             // A[g][i], A[g][i+4]
        lower[i] = __shfl_sync(all, pair(a[1], a[3]), 4 * g + i);             // A[g+8][...]
        left[i] = __shfl_sync(all, pair(b[0], b[1]), 4 * (2 * t) + i);        // B[...][2t]
        right[i] = __shfl_sync(all, pair(b[0], b[1]), 4 * (2 * t + 1) + i);   // B[...][2t+1]
    }
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 4; i++) {
            d[0] += number(upper[i], half) * number(left[i], half);
            d[1] += number(upper[i], half) * number(right[i], half);
            d[2] += number(lower[i], half) * number(left[i], half);
            d[3] += number(lower[i], half) * number(right[i], half);
        }
    }
#endif
}

// A thread's copies on their way. They are ordered in groups: what was asked for before a commit()
// is a group; wait<n>() returns when all but the last n groups have arrived. It speaks for this
// thread's copies only: a __syncthreads() after it speaks for the block's.
struct AsyncCopies {
#ifdef ON_GPU
    // 16 bytes, both addresses multiples of 16; zeros if not `inside` (`from` is then not read).
    __device__ __forceinline__ void copy(float* to, const float* from, bool inside) {
        unsigned int place = (unsigned int)__cvta_generic_to_shared(to);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(place), "l"(from), "r"(inside ? 16 : 0) : "memory");
    }
    __device__ __forceinline__ void commit() {
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    template <int n> __device__ __forceinline__ void wait() {
        asm volatile("cp.async.wait_group %0;" :: "n"(n) : "memory");
    }
#else
    // As late as the rules allow: a forgotten wait() is seen, because the numbers are not there.
    struct Copy { float* to; const float* from; int group; };
    Copy queue[128];
    int first = 0, end = 0, group = 0;

    void copy(float* to, const float* from, bool inside) {
        assert(end - first < 128);
        queue[end++ % 128] = {to, inside ? from : 0, group};
    }
    void commit() { group++; }
    template <int n> void wait() {
        for (; first < end && queue[first % 128].group < group - n; first++) {
            const Copy& next = queue[first % 128];
            for (int i = 0; i < 4; i++) next.to[i] = next.from ? next.from[i] : 0;
        }
    }
#endif
};
