// Matrix product, rung 6: four numbers at a time. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null. float32.
//
// Threads: 256 make a 128 x 128 tile of C. Thread (x, y) of 16 x 16 makes 8 x 8 numbers, in four
//   groups of 4 x 4: rows 4 y ... 4 y + 3 and the same 64 further down, columns 4 x ... 4 x + 3 and
//   the same 64 further on.
// Reads and writes: in a step of 8 k a thread reads one float4 of A and one of B from global
//   memory, and 8 times 2 + 2 float4s from shared memory for 8 x 64 products. It writes 16 float4s.
// Why: one instruction moves 16 bytes where rung 5 takes four: fewer instructions between the
//   products. A is turned on its way into shared memory ([k][m]), so that 4 numbers of one k
//   lie side by side.
// Asks for: A and B are contiguous along a size that is a multiple of 4, and start at multiples of
//   16 bytes.
#include "epilogue.cuh"

#define BM 128  // rows and columns of a block's tile
#define BN 128
#define BK 8    // k of a step
#define THREADS 256
#define PITCH (BM + 4)  // of a row of shared memory: transposed writes hit other banks

// Four neighbouring numbers into a tile [k][row]: below each other, or side by side.
__device__ __forceinline__ void put(float* to, float4 numbers, bool along_k)
{
    if (!along_k) {
        *(float4*)to = numbers;
        return;
    }
    to[0] = numbers.x;
    to[PITCH] = numbers.y;
    to[2 * PITCH] = numbers.z;
    to[3 * PITCH] = numbers.w;
}

// Numbers x, x + 1, x + 2, x + 3 and the same 64 further on.
__device__ __forceinline__ void read8(const float* from, float (&numbers)[8])
{
    float4 low = *(const float4*)from, high = *(const float4*)(from + 64);
    numbers[0] = low.x;
    numbers[1] = low.y;
    numbers[2] = low.z;
    numbers[3] = low.w;
    numbers[4] = high.x;
    numbers[5] = high.y;
    numbers[6] = high.z;
    numbers[7] = high.w;
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const float* A, const float* B, const float* bias, const float* add, float* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    __shared__ float a_tile[BK][PITCH];  // both stored [k][row]
    __shared__ float b_tile[BK][PITCH];

    int t = threadIdx.x, x = t % 16 * 4, y = t / 16 * 4, tiles_n = (N - 1) / BN + 1;
    int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;

    // What this thread brings: 4 numbers along k if the matrix lies so, else along m or n.
    bool a_along_k = a_column == 1, b_along_k = b_row == 1;
    int m = a_along_k ? t / 2 : t % 32 * 4, a_k = a_along_k ? t % 2 * 4 : t / 32;
    int n = b_along_k ? t / 2 : t % 32 * 4, b_k = b_along_k ? t % 2 * 4 : t / 32;
    const float* a = A + (m0 + m) * a_row + a_k * a_column;
    const float* b = B + (n0 + n) * b_column + b_k * b_row;
    bool a_inside = m0 + m < M, b_inside = n0 + n < N;

    float sums[8][8] = {};
    for (int k = 0; k < K; k += BK) {
        float4 zeros = make_float4(0, 0, 0, 0);
        put(&a_tile[a_k][m], a_inside && k + a_k < K ? *(const float4*)a : zeros, a_along_k);
        put(&b_tile[b_k][n], b_inside && k + b_k < K ? *(const float4*)b : zeros, b_along_k);
        a += BK * a_column;
        b += BK * b_row;
        __syncthreads();  // the tiles are whole
        #pragma unroll
        for (int i = 0; i < BK; i++) {
            float column[8], row[8];
            read8(&a_tile[i][y], column);
            read8(&b_tile[i][x], row);
            #pragma unroll
            for (int p = 0; p < 8; p++)
                #pragma unroll
                for (int q = 0; q < 8; q++) sums[p][q] += column[p] * row[q];
        }
        __syncthreads();  // nobody reads them any more
    }

    #pragma unroll
    for (int p = 0; p < 8; p++) {
        int m = m0 + p / 4 * 64 + y + p % 4;
        if (m >= M) continue;
        #pragma unroll
        for (int q = 0; q < 8; q++) {
            int n = n0 + q / 4 * 64 + x + q % 4;
            if (n >= N) continue;
            long long mn = (long long)m * N + n;
            float total = bias ? sums[p][q] + bias[n] : sums[p][q];
            sums[p][q] = finished_by_call(total, add, mn, activation);
            if (N % 4 != 0) C[mn] = sums[p][q];
            else if (q % 4 == 3)  // four neighbours are ready, and they start at 16 bytes
                *(float4*)(C + mn - 3) = make_float4(sums[p][q - 3], sums[p][q - 2],
                                                     sums[p][q - 1], sums[p][q]);
        }
    }
}
