// The loop of the implicit GEMMs in fp32: panels from two walkers (walkers.cuh), outer products in
// registers (gemm_tile.cuh). The loop is that of a matrix product; only who finds the numbers
// differs.
#pragma once
#include "conv/walkers.cuh"
#include "gemm_tile.cuh"

// The tile of a block: BM x BN results, TM x TN of them for a thread, LANES_M rows of threads in a
// warp, STEP numbers of the sum in a panel. The launcher chooses; these are the sizes for large
// problems.
#ifndef BM
#define BM 128
#define BN 128
#define TM 8
#define TN 8
#define LANES_M 8
#define STEP 8
#endif
// Numbers that are read at once, 4 or 1: 4 needs channels in multiples of 4 and addresses in
// multiples of 16. VECTOR_A is for the left matrix, VECTOR_B for the right one.
#ifndef VECTOR_A
#define VECTOR_A 4
#define VECTOR_B 4
#endif

using Tile = Tiling<BM, BN, STEP, TM, TN, LANES_M>;
// Registers decide how many threads a multiprocessor holds: with 128 each it is 512. Reading single
// numbers takes more pointers, and so more registers: then it is 384, with 168.
#define BLOCKS_AT_ONCE ((VECTOR_A == 4 && VECTOR_B == 4 ? 512 : 384) / Tile::threads)

// A walker's chunks on their way from global memory to a panel [k][row] in shared memory.
template <class Walker>
struct Chunks {
    float numbers[Walker::count][Walker::vector];

    __device__ __forceinline__ void fetch(const Walker& walker) {
        #pragma unroll
        for (int i = 0; i < Walker::count; i++) {
            if constexpr (Walker::vector == 4) {
                float4 chunk = make_float4(0, 0, 0, 0);
                if (walker.inside[i]) chunk = *(const float4*)walker.source[i];
                numbers[i][0] = chunk.x;
                numbers[i][1] = chunk.y;
                numbers[i][2] = chunk.z;
                numbers[i][3] = chunk.w;
            } else {
                numbers[i][0] = walker.inside[i] ? *walker.source[i] : 0;
            }
        }
    }

    template <int pitch>
    __device__ __forceinline__ void put(float (*panel)[pitch]) const {
        #pragma unroll
        for (int i = 0; i < Walker::count; i++) {
            float* to = &panel[Walker::depth(i)][Walker::row(i)];
            if constexpr (Walker::vector == 4 && !Walker::along_k) {
                *(float4*)to = make_float4(numbers[i][0], numbers[i][1], numbers[i][2],
                                           numbers[i][3]);
            } else {
                #pragma unroll
                for (int e = 0; e < Walker::vector; e++) to[e * pitch] = numbers[i][e];
            }
        }
    }
};

// sums = the products over K numbers. While one panel is multiplied, the next is on its way.
template <class T, class A, class B>
__device__ __forceinline__ void accumulate(A& a, B& b, int K, typename T::Shared& shared,
                                           float (&sums)[T::thread_m][T::thread_n])
{
    #pragma unroll
    for (int i = 0; i < T::thread_m; i++)
        #pragma unroll
        for (int j = 0; j < T::thread_n; j++) sums[i][j] = 0;
    if (K <= 0) return;

    Chunks<A> next_a;
    Chunks<B> next_b;
    next_a.fetch(a);
    next_b.fetch(b);
    next_a.put(shared.a[0]);
    next_b.put(shared.b[0]);
    __syncthreads();
    for (int left = K - T::step, now = 0;; left -= T::step, now ^= 1) {
        if (left > 0) {
            a.advance(left);
            b.advance(left);
            next_a.fetch(a);
            next_b.fetch(b);
        }
        multiply_step<T>(shared.a[now], shared.b[now], sums);
        if (left <= 0) break;
        next_a.put(shared.a[now ^ 1]);
        next_b.put(shared.b[now ^ 1]);
        __syncthreads();  // the new panel is whole, and nobody reads the old one any more
    }
}

// A sum over K numbers may be cut into parts, where there are few results to make. A part is a
// multiple of 16, so that no panel reaches into the next one. In shared memory, as Origin.
struct Part {
    int number, first, length;
};

__device__ __forceinline__ Part part_of(int K, int part, int parts)
{
    int length = ((K + parts - 1) / parts + 15) / 16 * 16;
    return {part, part * length, min(K - part * length, length)};
}

// Four neighbouring results of a row, `left` of them inside the matrix.
__device__ __forceinline__ void write_group(float* to, const float* group, int left, bool aligned)
{
    if (aligned && left > 0) {
        *(float4*)to = make_float4(group[0], group[1], group[2], group[3]);
        return;
    }
    #pragma unroll
    for (int e = 0; e < 4; e++)
        if (e < left) to[e] = group[e];
}
