// Batch normalization of x (R, C), a row for each pixel: y = activation(w xhat + b + add), by
// channel, with xhat = (x - mean) / sqrt(var + eps).
//
// A channel's sums go over all R rows. They are taken in two steps, in an order that depends on the
// shape alone, so that the bits are the same each run:
//   parts: grid (ceil(C/COLUMNS/LANES), parts), blocks of COLUMNS x ROWS threads. Part p of the rows
//     belongs to the blocks (., p); neighbours in x take neighbouring columns, LANES each; a column's
//     ROWS threads take every ROWS-th row, and shared memory joins them. (A CPU's block is one
//     thread: it has the rows to itself.)
//   join: one warp per channel; lane l takes parts l, l + 32, ...; five shuffles join the lanes.
// The big array is read once for the statistics and once more to apply them.
//
// moments: mean m, and Q = sum of (x - m)^2, by Welford's update (1962): d = x - m, m += d/n,
//   Q += d (x - m). Two groups are joined by Chan, Golub and LeVeque's rule (1979): with
//   d = m2 - m1, m = m1 + d n2/n and Q = Q1 + Q2 + d^2 n1 n2/n. No large numbers are subtracted,
//   as they are in mean(x^2) - mean(x)^2. All of it is done on x less the channel's first number,
//   so that m is not rounded to the few digits that a large mean leaves.
// channels: what belongs to a channel, a thread each: (4, C) with mean, factor = 1 / sqrt(var + eps),
//   scale = w factor, and b. A root and a division a channel, not a number.
// apply: z = (x - mean) scale + b, a thread per LANES numbers; x (and add) read, y written (what
//   belongs to a channel stays in the cache).
// Below, dz is the gradient of z + add: dy where the activation let it through. For ReLU and ReLU6 y
// tells where; without add, y is null, and z itself, computed again, tells it: that costs nothing,
// where y would be one more array to read. For other activations, their own kernel has been there
// before.
// sums: sum of dz and sum of dz xhat, the gradients of b and w; two numbers (three with y) read a
//   thread and row. Behind them p = scale sum dz / R and q = scale factor sum dz xhat / R, or zeros
//   in evaluation, where mean and var do not follow x: (4, C).
// gradient: dx = scale (dz - (sum dz + xhat sum dz xhat) / R) = scale dz - p - q (x - mean), a thread
//   per LANES numbers. dz is written, too, if asked for.
#include "epilogue.cuh"

#ifdef EMU_FAST
#define COLUMNS 1
#define ROWS 1
#else
#define COLUMNS 32  // threads of a block: side by side,
#define ROWS 8      // and on the same columns
#endif
#define ALL 0xffffffffu

// The rows [first, last) of part blockIdx.y out of gridDim.y.
#define PART_OF_ROWS(R) \
    long long rows_of_part = ((R) + gridDim.y - 1) / gridDim.y; \
    long long first = blockIdx.y * rows_of_part; \
    long long last = first + rows_of_part < (R) ? first + rows_of_part : (R);

struct Moments { real n; Lanes mean, Q; };

__device__ __forceinline__ Moments joined(Moments a, Moments b)
{
    real n = a.n + b.n;
    if (n == 0) return a;
    real share = b.n / n;
    Lanes d = b.mean - a.mean;
    return {n, a.mean + d * share, a.Q + b.Q + d * d * (a.n * share)};
}

// parts (P, 3, C): n, mean and Q.
extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
moments_parts(const real* x, real* parts, long long R, int C)
{
    int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * COLUMNS + lane) * LANES;
    PART_OF_ROWS(R)

    Moments mine = {0, 0, 0};
    if (c < C) {
        Lanes shift = load_lanes(x + c);
        for (long long r = first + row; r < last; r += ROWS) {
            Lanes value = load_lanes(x + r * C + c) - shift, d = value - mine.mean;
            mine.n += 1;
            mine.mean += d * (1 / mine.n);
            mine.Q += d * (value - mine.mean);
        }
    }
#if ROWS > 1
    __shared__ real shared[3][ROWS][COLUMNS];
    shared[0][row][lane] = mine.n;
    shared[1][row][lane] = mine.mean;
    shared[2][row][lane] = mine.Q;
    __syncthreads();

    if (row == 0)
        for (int j = 1; j < ROWS; j++)
            mine = joined(mine, {shared[0][j][lane], shared[1][j][lane], shared[2][j][lane]});
#endif
    if (row > 0 || c >= C) return;
    real* part = parts + (long long)blockIdx.y * 3 * C + c;
    store_lanes(part, Lanes(mine.n));
    store_lanes(part + C, mine.mean);
    store_lanes(part + 2 * C, mine.Q);
}

// channels (4, C); w and b may be null: 1 and 0.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_channels(const real* moments, const real* w, const real* b, real* channels, int C,
                    real eps)
{
    long long c = thread_index();
    if (c >= C) return;
    real factor = 1 / sqrt(moments[C + c] + eps);
    channels[c] = moments[c];
    channels[C + c] = factor;
    channels[2 * C + c] = w ? w[c] * factor : factor;
    channels[3 * C + c] = b ? b[c] : 0;
}

// What a walk over x needs of channels (4, C), for LANES of them from c on.
struct Line {
    Lanes mean, scale, b;

    __device__ __forceinline__ Line(const real* channels, int c, int C)
        : mean(load_lanes(channels + c)), scale(load_lanes(channels + 2 * C + c)),
          b(load_lanes(channels + 3 * C + c)) {}
    __device__ __forceinline__ Lanes z(Lanes x) const { return (x - mean) * scale + b; }
};

// The channel of this thread's first number.
__device__ __forceinline__ int first_channel(int C)
{
    return place_of(thread_index(), 1, 1, C / LANES).c * LANES;
}

// add may be null: 0.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_apply(const real* x, const real* channels, const real* add, real* y, long long elements,
                 int C, int activation)
{
    long long i = thread_index() * LANES;
    if (i >= elements) return;
    Line line(channels, first_channel(C), C);
    store_lanes(y + i, finished(line.z(load_lanes(x + i)), add, i, activation));
}

// dz of LANES numbers from dy, x and, unless it is null, y.
__device__ __forceinline__ Lanes gradient_of_z(const real* dy, const real* y, Lanes x, long long i,
                                               const Line& line, int activation)
{
    return through(load_lanes(dy + i), y ? load_lanes(y + i) : line.z(x), activation);
}

// parts (P, 2, C).
extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
batch_norm_sums_parts(const real* dy, const real* y, const real* x, const real* channels,
                      int activation, real* parts, long long R, int C)
{
    int lane = threadIdx.x, row = threadIdx.y, c = (blockIdx.x * COLUMNS + lane) * LANES;
    PART_OF_ROWS(R)

    Lanes sum = 0, sum_xhat = 0;
    if (c < C) {
        Line line(channels, c, C);
        for (long long r = first + row; r < last; r += ROWS) {
            Lanes here = load_lanes(x + r * C + c);
            Lanes dz = gradient_of_z(dy, y, here, r * C + c, line, activation);
            sum += dz;
            sum_xhat += dz * (here - line.mean);
        }
        sum_xhat = sum_xhat * load_lanes(channels + C + c);
    }
#if ROWS > 1
    __shared__ real shared[2][ROWS][COLUMNS];
    shared[0][row][lane] = sum;
    shared[1][row][lane] = sum_xhat;
    __syncthreads();

    if (row == 0)
        for (int j = 1; j < ROWS; j++) {
            sum += shared[0][j][lane];
            sum_xhat += shared[1][j][lane];
        }
#endif
    if (row > 0 || c >= C) return;
    real* part = parts + (long long)blockIdx.y * 2 * C + c;
    store_lanes(part, sum);
    store_lanes(part + C, sum_xhat);
}

// sums (4, C); dz may be null: then it is not written.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_gradient(const real* dy, const real* y, const real* x, const real* channels,
                    const real* sums, real* dx, real* dz, long long elements, int C, int activation)
{
    long long i = thread_index() * LANES;
    if (i >= elements) return;
    int c = first_channel(C);
    Line line(channels, c, C);
    Lanes here = load_lanes(x + i), g = gradient_of_z(dy, y, here, i, line, activation);
    if (dz) store_lanes(dz + i, g);
    Lanes p = load_lanes(sums + 2 * C + c), q = load_lanes(sums + 3 * C + c);
    store_lanes(dx + i, g * line.scale - p - (here - line.mean) * q);
}

#if LANES == 1  // a warp joins the parts
// parts (P, 3, C) to moments (2, C): the mean, and the variance Q / n.
extern "C" __global__ void __launch_bounds__(32)
moments_join(const real* parts, real* moments, int P, int C, const real* x)
{
    int lane = threadIdx.x, c = blockIdx.x;
    Moments mine = {0, 0, 0};
    for (int p = lane; p < P; p += 32) {
        const real* part = parts + (long long)p * 3 * C + c;
        mine = joined(mine, {part[0], part[C], part[2 * C]});
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

// parts (P, 2, C) to sums (4, C): sum of dz, sum of dz xhat, p and q. share is 1/R, or 0.
extern "C" __global__ void __launch_bounds__(32)
batch_norm_sums_join(const real* parts, real* sums, int P, int C, const real* channels, real share)
{
    int lane = threadIdx.x, c = blockIdx.x;
    real sum = 0, sum_xhat = 0;
    for (int p = lane; p < P; p += 32) {
        const real* part = parts + (long long)p * 2 * C + c;
        sum += part[0];
        sum_xhat += part[C];
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_down_sync(ALL, sum, distance);
        sum_xhat += __shfl_down_sync(ALL, sum_xhat, distance);
    }
    if (lane > 0) return;
    sums[c] = sum;
    sums[C + c] = sum_xhat;
    real slope = channels[2 * C + c] * share;
    sums[2 * C + c] = slope * sum;
    sums[3 * C + c] = slope * channels[C + c] * sum_xhat;
}
#endif
