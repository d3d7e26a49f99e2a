// Matrix product, for few rows: C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// It is a fully connected layer of a small batch: B holds its weights, 400 MB of them in VGG-16's
//   first, and each is there for M products. So memory decides, and a weight is read once. (Where
//   there are more than ROWS rows, blocks that run together share the columns: then the caches have
//   what the second one reads.)
// Threads: a block's THREADS threads share the sums of ROWS x OUTPUTS results: each has every
//   THREADS-th number of k (LANES neighbours at a time), and at the end the parts meet in registers
//   and shared memory. On a CPU THREADS is 1, and LANES numbers are a few registers.
// Reads and writes: for a k, ROWS numbers of A, which the caches hold, and OUTPUTS of B for
//   ROWS x OUTPUTS products. If B lies along k, neighbours read neighbours.
// Why: a tile of rung 8 has 64 rows at least, so that most of its products are nobody's. And memory
//   is far away: it is busy only if kilobytes are under way to every multiprocessor, so there are
//   many threads, and each asks for the numbers of AHEAD steps before it needs the first.
#define WIDEST REGISTER
#include "block_sum.cuh"
#include "epilogue.cuh"

#ifndef THREADS
#define THREADS 128
#endif
#ifndef ROWS
#define ROWS 4
#define OUTPUTS 4
#endif
#ifndef AHEAD
#define AHEAD 4
#endif

// sums[i][j] += row i's numbers times column j's. load(p) reads those at p.
template <class Load>
__device__ __forceinline__ void add_products(Lanes (&sums)[ROWS][OUTPUTS],
                                             const real* const (&rows)[ROWS],
                                             const real* const (&columns)[OUTPUTS],
                                             long long along_a, long long along_b,
                                             const Load& load)
{
    Lanes numbers[ROWS];
    #pragma unroll
    for (int i = 0; i < ROWS; i++) numbers[i] = load(rows[i] + along_a);
    #pragma unroll
    for (int j = 0; j < OUTPUTS; j++) {
        Lanes weights = load(columns[j] + along_b);
        #pragma unroll
        for (int i = 0; i < ROWS; i++) sums[i][j] += numbers[i] * weights;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    int down = (M - 1) / ROWS + 1;
    int m = blockIdx.x % down * ROWS, n = blockIdx.x / down * OUTPUTS;

    // Rows and columns beyond the matrix repeat its last ones, and are not written.
    const real* rows[ROWS];
    const real* columns[OUTPUTS];
    Lanes sums[ROWS][OUTPUTS];
    #pragma unroll
    for (int i = 0; i < ROWS; i++) rows[i] = A + min(m + i, M - 1) * a_row;
    #pragma unroll
    for (int j = 0; j < OUTPUTS; j++) columns[j] = B + min(n + j, N - 1) * b_column;
    #pragma unroll
    for (int i = 0; i < ROWS; i++)
        #pragma unroll
        for (int j = 0; j < OUTPUTS; j++) sums[i][j] = 0;

    int whole = K / LANES * LANES;
    #pragma unroll AHEAD
    for (int k = threadIdx.x * LANES; k < whole; k += THREADS * LANES)
        add_products(sums, rows, columns, k * a_column, k * b_row,
                     [](const real* p) { return load_lanes(p); });
    if (whole < K)
        add_products(sums, rows, columns, whole * a_column, whole * b_row,
                     [=](const real* p) { return load_some(p, K - whole); });

    auto write = [&](int row, int column, real z) {
        if (row >= M || column >= N) return;
        long long at = (long long)row * N + column;
        if (bias) z += bias[column];
        if (add) z += add[at];
        C[at] = first_lane(activate(Lanes(z), activation));
    };
#if THREADS > 1
    __shared__ real of_warp[ROWS * OUTPUTS][THREADS / 32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    #pragma unroll
    for (int i = 0; i < ROWS; i++)
        #pragma unroll
        for (int j = 0; j < OUTPUTS; j++) {
            real z = warp_sum(sums[i][j]);
            if (lane == 0) of_warp[i * OUTPUTS + j][warp] = z;
        }
    __syncthreads();
    if (threadIdx.x >= ROWS * OUTPUTS) return;
    int i = threadIdx.x / OUTPUTS, j = threadIdx.x % OUTPUTS;
    real z = 0;
    for (real part : of_warp[threadIdx.x]) z += part;
    write(m + i, n + j, z);
#else
    #pragma unroll
    for (int i = 0; i < ROWS; i++)
        #pragma unroll
        for (int j = 0; j < OUTPUTS; j++) write(m + i, n + j, sum_of_lanes(sums[i][j]));
#endif
}
