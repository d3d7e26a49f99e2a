// The inside of a matrix product whose tile of C lies in registers: C[m,n] = sum over k of
// A[m,k] B[k,n]. What A and B are is left to two loaders, so that a convolution can read its image
// where a product reads a matrix.
//
// A block makes block_m x block_n numbers of C. In a step it brings a panel of A, block_m x step,
// and one of B, block_n x step, to shared memory, both stored [k][row], and every thread adds
// `step` outer products of thread_m numbers of A with thread_n of B to its sums.
//
// Warp tiles: the 32 threads of a warp stand in lanes_m rows of 32 / lanes_m and make a tile of
//   their own. A thread's numbers are groups of 4 x 4; the second group of a row starts where the
//   first groups of all its lanes end. For a k a warp then needs few different groups from shared
//   memory, which lie side by side: 8 x 4 lanes with 8 x 8 numbers each read 8 + 4 twice for
//   64 x 32 products; 2 x 16 lanes would read 2 + 16 twice.
//
// Double buffering: while a step is multiplied, the next one's numbers are on their way from
//   global memory into registers. They go to the other of two buffers, so one barrier a step is
//   enough: it says that the new buffer is whole, and that nobody reads the old one any more.
#pragma once
#include "epilogue.cuh"

// The sizes that belong together.
template <int block_m_, int block_n_, int step_, int thread_m_, int thread_n_, int lanes_m_>
struct Tiling {
    static constexpr int block_m = block_m_, block_n = block_n_, step = step_;
    static constexpr int thread_m = thread_m_, thread_n = thread_n_;
    static constexpr int lanes_m = lanes_m_, lanes_n = 32 / lanes_m;
    static constexpr int warp_m = lanes_m * thread_m, warp_n = lanes_n * thread_n;
    static constexpr int warps_n = block_n / warp_n;
    static constexpr int threads = block_m / warp_m * warps_n * 32;
    static_assert(block_m % warp_m == 0 && block_n % warp_n == 0, "a block is whole warp tiles");
    static_assert(thread_m % 4 == 0 && thread_n % 4 == 0, "a thread has groups of 4");

    struct Shared {  // 4 more columns: float4s stay aligned, and transposed writes hit other banks
        float a[2][step][block_m + 4];
        float b[2][step][block_n + 4];
    };

    // Where this thread's sums[i][j] lies in the block's tile.
    static __device__ __forceinline__ int row(int i) {
        int warp = threadIdx.x / 32 / warps_n, lane = threadIdx.x % 32 / lanes_n;
        return warp * warp_m + (i / 4 * lanes_m + lane) * 4 + i % 4;
    }
    static __device__ __forceinline__ int column(int j) {
        int warp = threadIdx.x / 32 % warps_n, lane = threadIdx.x % lanes_n;
        return warp * warp_n + (j / 4 * lanes_n + lane) * 4 + j % 4;
    }
};

// A thread's part of a panel (rows x step) on its way from global to shared memory: chunks of 4
// numbers that are neighbours in global memory, along k or along the rows.
template <int rows, int step, int threads, bool along_k>
struct Panel {
    static constexpr int count = rows * step / 4 / threads;
    static_assert(count * 4 * threads == rows * step, "every thread brings as many chunks");
    float4 chunks[count];

    static __device__ __forceinline__ int row(int c) {
        int q = threadIdx.x + c * threads;
        return along_k ? q / (step / 4) : q % (rows / 4) * 4;
    }
    static __device__ __forceinline__ int depth(int c) {
        int q = threadIdx.x + c * threads;
        return along_k ? q % (step / 4) * 4 : q / (rows / 4);
    }

    template <class Loader>
    __device__ __forceinline__ void fetch(const Loader& load, int k) {
        #pragma unroll
        for (int c = 0; c < count; c++) chunks[c] = load(row(c), k + depth(c));
    }

    __device__ __forceinline__ void put(float (*shared)[rows + 4]) const {
        #pragma unroll
        for (int c = 0; c < count; c++) {
            float* to = &shared[depth(c)][row(c)];
            if (along_k) {
                to[0] = chunks[c].x;
                to[rows + 4] = chunks[c].y;
                to[2 * (rows + 4)] = chunks[c].z;
                to[3 * (rows + 4)] = chunks[c].w;
            } else {
                *(float4*)to = chunks[c];
            }
        }
    }
};

// count numbers of row k of a panel: groups of 4, `distance` apart.
template <int count>
__device__ __forceinline__ void read_groups(const float* from, int distance,
                                            float (&numbers)[count])
{
    #pragma unroll
    for (int i = 0; i < count; i += 4) {
        float4 group = *(const float4*)(from + i / 4 * distance);
        numbers[i] = group.x;
        numbers[i + 1] = group.y;
        numbers[i + 2] = group.z;
        numbers[i + 3] = group.w;
    }
}

// sums[i][j] += the outer products of one step. Every sum takes its k in rising order.
template <class T>
__device__ __forceinline__ void multiply_step(const float (*a)[T::block_m + 4],
                                              const float (*b)[T::block_n + 4],
                                              float (&sums)[T::thread_m][T::thread_n])
{
    #pragma unroll
    for (int k = 0; k < T::step; k++) {
        float column[T::thread_m], row[T::thread_n];
        read_groups(&a[k][T::row(0)], 4 * T::lanes_m, column);
        read_groups(&b[k][T::column(0)], 4 * T::lanes_n, row);
        #pragma unroll
        for (int i = 0; i < T::thread_m; i++)
            #pragma unroll
            for (int j = 0; j < T::thread_n; j++) sums[i][j] += column[i] * row[j];
    }
}

// sums = the products over k in [first, last), for the block's tile. The caller's loaders give
//   load(row, k): float4, the numbers (row, k..k+3) of the panel if Loader::along_k, else
//   (row..row+3, k), with 0 outside the matrix and for k >= last.
template <class T, class LoadA, class LoadB>
__device__ __forceinline__ void multiply_tile(typename T::Shared& shared, const LoadA& load_a,
                                              const LoadB& load_b, int first, int last,
                                              float (&sums)[T::thread_m][T::thread_n])
{
    Panel<T::block_m, T::step, T::threads, LoadA::along_k> a;
    Panel<T::block_n, T::step, T::threads, LoadB::along_k> b;
    #pragma unroll
    for (int i = 0; i < T::thread_m; i++)
        #pragma unroll
        for (int j = 0; j < T::thread_n; j++) sums[i][j] = 0;
    if (first >= last) return;

    a.fetch(load_a, first);
    b.fetch(load_b, first);
    a.put(shared.a[0]);
    b.put(shared.b[0]);
    __syncthreads();
    for (int k = first, now = 0; k < last; k += T::step, now ^= 1) {
        bool more = k + T::step < last;
        if (more) {
            a.fetch(load_a, k + T::step);
            b.fetch(load_b, k + T::step);
        }
        multiply_step<T>(shared.a[now], shared.b[now], sums);
        if (more) {
            a.put(shared.a[now ^ 1]);
            b.put(shared.b[now ^ 1]);
            __syncthreads();
        }
    }
}
