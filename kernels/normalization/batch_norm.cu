// Batch normalization of x (R, C), a row for each pixel: y = activation(w xhat + b + add), by
// channel, with xhat = (x - mean) / sqrt(var + eps).
//
// A channel's sums go over all R rows. They are taken in two steps, in an order that depends on the
// shape alone, so that the bits are the same each run:
//   parts: grid (ceil(C/32), parts), blocks of 32 x 8 threads. Part p of the rows belongs to the
//     blocks (., p); lane i takes column i of the block's 32, so that neighbours read neighbouring
//     numbers; its 8 threads take every 8th row, and shared memory joins them.
//   join: one warp per channel; lane l takes parts l, l + 32, ...; five shuffles join the lanes.
// The big array is read once for the statistics and once more to apply them.
//
// moments: mean m, and Q = sum of (x - m)^2, by Welford's update (1962): d = x - m, m += d/n,
//   Q += d (x - m). Two groups are joined by Chan, Golub and LeVeque's rule (1979): with
//   d = m2 - m1, m = m1 + d n2/n and Q = Q1 + Q2 + d^2 n1 n2/n. No large numbers are subtracted,
//   as they are in mean(x^2) - mean(x)^2. All of it is done on x less the channel's first number,
//   so that m is not rounded to the few digits that a large mean leaves.
// apply: a thread per number; x (and add) read, y written (what belongs to a channel stays in the
//   cache).
// Below, dy is the gradient of w xhat + b: the activation's own kernel has been there before.
// sums: sum of dy and sum of dy xhat, the gradients of b and w; two numbers read a thread and row.
// gradient: dx = w / sqrt(var + eps) (dy - (sum dy + xhat sum dy xhat) / R), a thread per
//   number; in evaluation without the bracket's second part.
#include "epilogue.cuh"

#define LANES 32  // columns of a block
#define ROWS 8    // threads of a column
#define ALL 0xffffffffu

// The rows [first, last) of part blockIdx.y out of gridDim.y.
#define PART_OF_ROWS(R) \
    long long rows_of_part = ((R) + gridDim.y - 1) / gridDim.y; \
    long long first = blockIdx.y * rows_of_part; \
    long long last = first + rows_of_part < (R) ? first + rows_of_part : (R);

struct Moments { real n, mean, Q; };

__device__ __forceinline__ Moments joined(Moments a, Moments b)
{
    real n = a.n + b.n;
    if (n == 0) return a;
    real d = b.mean - a.mean, share = b.n / n;
    return {n, a.mean + d * share, a.Q + b.Q + d * d * a.n * share};
}

extern "C" __global__ void __launch_bounds__(LANES * ROWS)
moments_parts(const real* x, real* parts, long long R, int C)
{
    __shared__ real shared[3][ROWS][LANES];
    int lane = threadIdx.x, row = threadIdx.y, c = blockIdx.x * LANES + lane;
    PART_OF_ROWS(R)

    Moments mine = {0, 0, 0};
    if (c < C) {
        real shift = x[c];
        for (long long r = first + row; r < last; r += ROWS) {
            real value = x[r * C + c] - shift, d = value - mine.mean;
            mine.n += 1;
            mine.mean += d / mine.n;
            mine.Q += d * (value - mine.mean);
        }
    }
    shared[0][row][lane] = mine.n;
    shared[1][row][lane] = mine.mean;
    shared[2][row][lane] = mine.Q;
    __syncthreads();

    if (row > 0 || c >= C) return;
    for (int j = 1; j < ROWS; j++)
        mine = joined(mine, {shared[0][j][lane], shared[1][j][lane], shared[2][j][lane]});
    real* part = parts + ((long long)blockIdx.y * C + c) * 3;
    part[0] = mine.n;
    part[1] = mine.mean;
    part[2] = mine.Q;
}

// parts (P, C, 3) to moments (2, C): the mean, and the variance Q / n.
extern "C" __global__ void __launch_bounds__(32)
moments_join(const real* parts, real* moments, int P, int C, const real* x)
{
    int lane = threadIdx.x, c = blockIdx.x;
    Moments mine = {0, 0, 0};
    for (int p = lane; p < P; p += 32) {
        const real* part = parts + ((long long)p * C + c) * 3;
        mine = joined(mine, {part[0], part[1], part[2]});
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        Moments other = {__shfl_down_sync(ALL, mine.n, distance),
                         __shfl_down_sync(ALL, mine.mean, distance),
                         __shfl_down_sync(ALL, mine.Q, distance)};
        mine = joined(mine, other);
    }
    if (lane > 0) return;
    moments[c] = x[c] + mine.mean;
    moments[C + c] = mine.Q / mine.n;
}

__device__ __forceinline__ real normalized(real value, const real* moments, int c, int C, real eps)
{
    return (value - moments[c]) / (real)sqrt(moments[C + c] + eps);
}

// w, b and add may be null: 1, 0 and 0.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_apply(const real* x, const real* moments, const real* w, const real* b, const real* add,
                 real* y, long long elements, int C, real eps, int activation)
{
    long long i = thread_index();
    if (i >= elements) return;
    int c = i % C;
    real z = normalized(x[i], moments, c, C, eps) * (w ? w[c] : 1) + (b ? b[c] : 0);
    y[i] = finished(z, add, i, activation);
}

extern "C" __global__ void __launch_bounds__(LANES * ROWS)
batch_norm_sums_parts(const real* dy, const real* x, const real* moments, real eps, real* parts,
                      long long R, int C)
{
    __shared__ real shared[2][ROWS][LANES];
    int lane = threadIdx.x, row = threadIdx.y, c = blockIdx.x * LANES + lane;
    PART_OF_ROWS(R)

    real sum = 0, sum_xhat = 0;
    if (c < C) {
        for (long long r = first + row; r < last; r += ROWS) {
            real g = dy[r * C + c];
            sum += g;
            sum_xhat += g * normalized(x[r * C + c], moments, c, C, eps);
        }
    }
    shared[0][row][lane] = sum;
    shared[1][row][lane] = sum_xhat;
    __syncthreads();

    if (row > 0 || c >= C) return;
    for (int j = 1; j < ROWS; j++) {
        sum += shared[0][j][lane];
        sum_xhat += shared[1][j][lane];
    }
    real* part = parts + ((long long)blockIdx.y * C + c) * 2;
    part[0] = sum;
    part[1] = sum_xhat;
}

// parts (P, C, 2) to sums (2, C): sum of dy, sum of dy xhat.
extern "C" __global__ void __launch_bounds__(32)
batch_norm_sums_join(const real* parts, real* sums, int P, int C)
{
    int lane = threadIdx.x, c = blockIdx.x;
    real sum = 0, sum_xhat = 0;
    for (int p = lane; p < P; p += 32) {
        const real* part = parts + ((long long)p * C + c) * 2;
        sum += part[0];
        sum_xhat += part[1];
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_down_sync(ALL, sum, distance);
        sum_xhat += __shfl_down_sync(ALL, sum_xhat, distance);
    }
    if (lane > 0) return;
    sums[c] = sum;
    sums[C + c] = sum_xhat;
}

extern "C" __global__ void __launch_bounds__(256)
batch_norm_gradient(const real* dy, const real* x, const real* moments, const real* sums,
                    const real* w, real* dx, long long R, int C, real eps, int training)
{
    long long i = thread_index();
    if (i >= R * C) return;
    int c = i % C;
    real g = dy[i];
    if (training)
        g -= (sums[c] + normalized(x[i], moments, c, C, eps) * sums[C + c]) / R;
    dx[i] = g * (w ? w[c] : 1) / (real)sqrt(moments[C + c] + eps);
}
