// Matrix product, rung 10: tensor cores. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n], where A and B are rounded to TF32 (10 bits of
// fraction, so an error of up to 2^-11 a number) and summed in float. bias and add may be null.
// Needs: sm_80
//
// Threads: 128 make a 128 x 128 tile of C; a warp makes 64 x 64 of it, as 4 x 8 products of
//   (16 x 8) by (8 x 8) matrices for every 8 k. A lane holds 128 sums.
// Reads and writes: in a step of 16 k a thread copies 4 + 4 chunks of 16 bytes from global to
//   shared memory, and reads 2 times 16 + 16 numbers from there. It writes 128 numbers.
// Why: a tensor core makes 16 x 8 x 8 products for an instruction of a warp, where its 32 lanes
//   make 32; a chunk goes to shared memory by cp.async, without a register to wait in, so that
//   STAGES - 1 steps can be on their way and not just one.
// Needs too: as rung 6, sizes and addresses in multiples of 4 numbers.
//
// In shared memory a panel lies as it does in global memory, [row][k] or [k][row], with a pitch
// that sends a fragment's 32 numbers to 32 banks: 8 rows i of 4 k j are at 20 i + j or i + 136 j,
// which are 32 different numbers mod 32.
#include "tensor_core.cuh"
#include "matmul/matrix.cuh"

#define BM 128
#define BN 128
#define BK 16
#define WARP 64       // rows and columns of a warp's tile
#define STAGES 3
#define THREADS 128

template <int rows, bool along_k>
struct Stage {
    static constexpr int pitch = along_k ? BK + 4 : rows + 8;
    static constexpr int floats = along_k ? rows * pitch : BK * pitch;

    static __device__ __forceinline__ int at(int row, int k) {
        return along_k ? row * pitch + k : k * pitch + row;
    }

    // This thread's chunks of the panel from k on: `data` as a MatrixLoader's.
    static __device__ __forceinline__ void fetch(AsyncCopies& copies, float* to,
                                                 const MatrixLoader<along_k, true>& panel, int k) {
        #pragma unroll
        for (int c = 0; c < rows * BK / 4 / THREADS; c++) {
            int q = threadIdx.x + c * THREADS;
            int row = along_k ? q / (BK / 4) : q % (rows / 4) * 4;
            int depth = along_k ? q % (BK / 4) * 4 : q / (rows / 4);
            bool inside = row < panel.rows && k + depth < panel.K;
            const float* from = along_k ? panel.data + row * panel.step + (k + depth)
                                        : panel.data + (k + depth) * panel.step + row;
            copies.copy(to + at(row, depth), inside ? from : panel.data, inside);
        }
    }
};
using StageA = Stage<BM, A_ALONG_K>;
using StageB = Stage<BN, B_ALONG_K>;

// sums[i][j] += the warp's 4 x 8 products over the BK of a stage. m, n: the warp's first row and
// column of the tile.
__device__ __forceinline__ void multiply_stage(const float* a, const float* b, int m, int n,
                                               float (&sums)[WARP / 16][WARP / 8][4])
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    #pragma unroll
    for (int k = 0; k < BK; k += 8) {
        unsigned int left[WARP / 16][4], right[WARP / 8][2];
        #pragma unroll
        for (int i = 0; i < WARP / 16; i++)
            #pragma unroll
            for (int r = 0; r < 4; r++)
                left[i][r] = tf32(a[StageA::at(m + 16 * i + g + r % 2 * 8, k + t + r / 2 * 4)]);
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++)
            #pragma unroll
            for (int r = 0; r < 2; r++)
                right[j][r] = tf32(b[StageB::at(n + 8 * j + g, k + t + r * 4)]);
        #pragma unroll
        for (int i = 0; i < WARP / 16; i++)
            #pragma unroll
            for (int j = 0; j < WARP / 8; j++) mma_tf32(sums[i][j], left[i], right[j]);
    }
}

// Two neighbours of C, in columns n and n + 1, of which the second may be outside.
__device__ __forceinline__ void write_pair(float* C, const float* bias, const float* add, int m,
                                           int n, int N, float first, float second, int activation)
{
    if (n >= N) return;
    bool both = n + 1 < N;
    long long mn = (long long)m * N + n;
    first = finished_by_call(bias ? first + bias[n] : first, add, mn, activation);
    if (both)
        second = finished_by_call(bias ? second + bias[n + 1] : second, add, mn + 1, activation);
    if (N % 2 == 0) {  // pairs are whole, and start at multiples of 8 bytes
        *(float2*)(C + mn) = make_float2(first, second);
        return;
    }
    C[mn] = first;
    if (both) C[mn + 1] = second;
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const float* A, const float* B, const float* bias, const float* add, float* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    extern __shared__ __align__(16) float shared[];  // STAGES times a panel of A and one of B
    int tiles_n = (N - 1) / BN + 1;
    int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;
    auto panel_a = panel_of_a(A, m0, M, K, a_row, a_column);
    auto panel_b = panel_of_b(B, n0, N, K, b_row, b_column);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int m = warp / 2 * WARP, n = warp % 2 * WARP;

    AsyncCopies copies;
    auto fetch = [&](int step) {  // also when nothing is left: groups are counted
        if (step * BK < K) {
            float* to = shared + step % STAGES * (StageA::floats + StageB::floats);
            StageA::fetch(copies, to, panel_a, step * BK);
            StageB::fetch(copies, to + StageA::floats, panel_b, step * BK);
        }
        copies.commit();
    };
    #pragma unroll
    for (int step = 0; step < STAGES - 1; step++) fetch(step);

    float sums[WARP / 16][WARP / 8][4] = {};
    for (int step = 0; step * BK < K; step++) {
        copies.wait<STAGES - 2>();  // this step's panels are here,
        __syncthreads();            // all threads' parts, and nobody reads the last step's any more
        fetch(step + STAGES - 1);   // into the last step's place
        const float* now = shared + step % STAGES * (StageA::floats + StageB::floats);
        multiply_stage(now, now + StageA::floats, m, n, sums);
    }
    copies.wait<0>();

    #pragma unroll
    for (int i = 0; i < WARP / 8; i++) {  // half a fragment at a time: a lane's two neighbours
        int row = m0 + m + 8 * i + lane / 4;
        if (row >= M) continue;
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++) {
            int column = n0 + n + 8 * j + lane % 4 * 2;
            float* pair = &sums[i / 2][j][i % 2 * 2];
            write_pair(C, bias, add, row, column, N, pair[0], pair[1], activation);
        }
    }
}
