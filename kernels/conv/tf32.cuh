// The loop of the implicit GEMMs on tensor cores: panels from two walkers (walkers.cuh) go to
// shared memory by cp.async, and a warp multiplies 16 x 8 by 8 x 8 matrices with one instruction.
#pragma once
#include "conv/walkers.cuh"
#include "epilogue.cuh"
#include "tensor_core.cuh"

// A block makes BM x BN results, a warp WARP x WARP of them.
#ifndef BM
#define BM 128
#define BN 128
#define WARP 64
#endif
#define STEP 16
#define STAGES 3
#define THREADS (BM / WARP * (BN / WARP) * 32)

// A panel in shared memory lies as in global memory, [row][k] or [k][row]. Its pitch sends the 32
// numbers of a fragment, 8 rows of 4 k, to 32 banks: 20 i + j and 136 j + i (or 72 j + i), mod 32.
template <class Walker, int rows>
struct Panel {
    static constexpr int pitch = Walker::along_k ? STEP + 4 : rows + 8;
    static constexpr int floats = Walker::along_k ? rows * pitch : STEP * pitch;

    static __device__ __forceinline__ int at(int row, int k) {
        return Walker::along_k ? row * pitch + k : k * pitch + row;
    }

    static __device__ __forceinline__ void copy(AsyncCopies& copies, float* to,
                                                const Walker& from) {
        #pragma unroll
        for (int i = 0; i < Walker::count; i++)
            copies.copy(to + at(Walker::row(i), Walker::depth(i)), from.source[i], from.inside[i]);
    }
};

// A lane's numbers of a warp's tile: sums[i][j][r] is that of row(i, r), column(j, r).
typedef float Sums[WARP / 16][WARP / 8][4];

__device__ __forceinline__ int row_of(int i, int r)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return warp / (BN / WARP) * WARP + 16 * i + lane / 4 + r / 2 * 8;
}

__device__ __forceinline__ int column_of(int j, int r)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return warp % (BN / WARP) * WARP + 8 * j + lane % 4 * 2 + r % 2;
}

// sums += the products over one panel's STEP numbers.
template <class PanelA, class PanelB>
__device__ __forceinline__ void multiply_panels(const float* a, const float* b, Sums& sums)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    int m = row_of(0, 0) - g, n = column_of(0, 0) - 2 * t;  // the warp's tile
    #pragma unroll
    for (int k = 0; k < STEP; k += 8) {
        unsigned int left[WARP / 16][4], right[WARP / 8][2];
        #pragma unroll
        for (int i = 0; i < WARP / 16; i++)
            #pragma unroll
            for (int r = 0; r < 4; r++)
                left[i][r] = tf32(a[PanelA::at(m + 16 * i + g + r % 2 * 8, k + t + r / 2 * 4)]);
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++)
            #pragma unroll
            for (int r = 0; r < 2; r++)
                right[j][r] = tf32(b[PanelB::at(n + 8 * j + g, k + t + r * 4)]);
        #pragma unroll
        for (int i = 0; i < WARP / 16; i++)
            #pragma unroll
            for (int j = 0; j < WARP / 8; j++) mma_tf32(sums[i][j], left[i], right[j]);
    }
}

// sums = the products over K numbers. STAGES - 1 panels are on their way while one is multiplied.
template <class A, class B>
__device__ __forceinline__ void accumulate(A& a, B& b, int K, float* shared, Sums& sums)
{
    using PanelA = Panel<A, BM>;
    using PanelB = Panel<B, BN>;
    #pragma unroll
    for (int i = 0; i < WARP / 16; i++)
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++)
            #pragma unroll
            for (int r = 0; r < 4; r++) sums[i][j][r] = 0;

    AsyncCopies copies;
    int steps = (K + STEP - 1) / STEP;
    auto fetch = [&](int step) {  // also when nothing is left: groups are counted
        if (step < steps) {
            float* to = shared + step % STAGES * (PanelA::floats + PanelB::floats);
            PanelA::copy(copies, to, a);
            PanelB::copy(copies, to + PanelA::floats, b);
            a.advance(K - (step + 1) * STEP);
            b.advance(K - (step + 1) * STEP);
        }
        copies.commit();
    };
    #pragma unroll
    for (int step = 0; step < STAGES - 1; step++) fetch(step);
    for (int step = 0; step < steps; step++) {
        copies.wait<STAGES - 2>();  // this step's panels are here,
        __syncthreads();            // all threads' parts, and nobody reads the last step's any more
        fetch(step + STAGES - 1);   // into the last step's place
        const float* now = shared + step % STAGES * (PanelA::floats + PanelB::floats);
        multiply_panels<PanelA, PanelB>(now, now + PanelA::floats, sums);
    }
    copies.wait<0>();
}
