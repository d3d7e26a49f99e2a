// A and B as matrices in memory, and the end of a product: what the rungs from double_buffered.cu
// on share besides the loop (gemm_tile.cuh).
//
// A matrix lies in memory by rows or by columns, so a chunk of 4 neighbours lies along k or along
// the panel's rows. A kernel is compiled for the ways that A and B lie: the loop has no question
// left to ask.
#pragma once
#include "gemm_tile.cuh"

#ifndef A_ALONG_K
#define A_ALONG_K 1  // 1: A's rows lie in one piece (a_column is 1); 0: its columns do (a_row is 1)
#endif
#ifndef B_ALONG_K
#define B_ALONG_K 0  // 0: B's rows, along n, lie in one piece; 1: its columns, along k
#endif
#ifndef VECTOR
#define VECTOR 1     // 1: chunks are read as float4; 0: a number at a time
#endif

// A matrix's panel. `data` is the panel's first number, `step` leads from row to row if along_k,
// else from k to k; the other step is 1. vector: one float4 a chunk; then the size along which
// chunks lie and `step` are multiples of 4 and `data` of 16 bytes, so a chunk is inside or outside
// as a whole. Without it four numbers are read one by one.
// Rows beyond the matrix may repeat its last ones: what they give is never written, and a row
// number that is clamped once costs less than a comparison in every step.
template <bool along_k_, bool vector>
struct MatrixLoader {
    static constexpr bool along_k = along_k_;
    const float* data;
    long long step;
    int rows, K;  // what is left of the matrix from `data` on

    __device__ __forceinline__ float4 operator()(int row, int k) const {
        float4 chunk = make_float4(0, 0, 0, 0);
        if (k >= K) return chunk;
        if (along_k) {
            const float* from = data + min(row, rows - 1) * step + k;
            if (vector) return *(const float4*)from;
            chunk.x = from[0];
            if (k + 1 < K) chunk.y = from[1];
            if (k + 2 < K) chunk.z = from[2];
            if (k + 3 < K) chunk.w = from[3];
        } else {
            const float* from = data + k * step;
            if (vector) return *(const float4*)(from + min(row, rows - 4));
            if (row < rows) chunk.x = from[row];
            if (row + 1 < rows) chunk.y = from[row + 1];
            if (row + 2 < rows) chunk.z = from[row + 2];
            if (row + 3 < rows) chunk.w = from[row + 3];
        }
        return chunk;
    }
};

// The panels that start at row m of A and at column n of B.
__device__ __forceinline__ MatrixLoader<A_ALONG_K, VECTOR>
panel_of_a(const float* A, int m, int M, int K, long long a_row, long long a_column)
{
    return {A + m * a_row, A_ALONG_K ? a_row : a_column, M - m, K};
}

__device__ __forceinline__ MatrixLoader<B_ALONG_K, VECTOR>
panel_of_b(const float* B, int n, int N, int K, long long b_row, long long b_column)
{
    return {B + n * b_column, B_ALONG_K ? b_column : b_row, N - n, K};
}

// Four neighbours of C activated, as a call: 16 copies of every activation would be 200 KB.
static __device__ __noinline__ float4 activate_group(float4 z, int activation)
{
    return make_float4(activate(z.x, activation), activate(z.y, activation),
                       activate(z.z, activation), activate(z.w, activation));
}

// `left` of four numbers added, one by one: `from` may lie anywhere.
static __device__ __forceinline__ float4 plus(float4 sum, const float* from, int left)
{
    sum.x += from[0];
    if (left > 1) sum.y += from[1];
    if (left > 2) sum.z += from[2];
    if (left > 3) sum.w += from[3];
    return sum;
}

// Writes a block's tile: C[m,n] = activation(sum + bias[n] + add[m,n]), where (m0, n0) is the
// tile's first number, and bias and add may be null.
struct Ending {
    const float* bias;
    const float* add;
    float* C;
    int M, N, activation;

    __device__ __forceinline__ void write(int m, int n, float4 sum) const {
        if (m >= M || n >= N) return;
        int left = N - n;
        long long mn = (long long)m * N + n;
        if (bias) sum = plus(sum, bias + n, left);
        if (add) sum = plus(sum, add + mn, left);
        if (activation != ACTIVATION_NONE) sum = activate_group(sum, activation);
        if (N % 4 == 0) {  // every row starts at a multiple of 16 bytes
            *(float4*)(C + mn) = sum;
            return;
        }
        C[mn] = sum.x;
        if (left > 1) C[mn + 1] = sum.y;
        if (left > 2) C[mn + 2] = sum.z;
        if (left > 3) C[mn + 3] = sum.w;
    }

    template <class T>
    __device__ __forceinline__ void
    write_tile(int m0, int n0, const float (&sums)[T::thread_m][T::thread_n]) const {
        #pragma unroll
        for (int i = 0; i < T::thread_m; i++)
            #pragma unroll
            for (int j = 0; j < T::thread_n; j += 4)
                write(m0 + T::row(i), n0 + T::column(j),
                      make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]));
    }
};
