// Resampling of x (N, H, W, C) to y (N, OH, OW, C). The host has worked out, for each axis, which
// pixel an output reads: tables of OH and OW numbers, small enough to stay in the cache.
//
// nearest_forward: y[n,i,j,c] = x[n, row[i], column[j], c].
//   Threads: one per output. One number read, one written; neighbours differ in c.
// bilinear_forward: the mean of the pixels (row[i], column[j]) and their neighbours below and to
//   the right, which weigh down[i] and right[j].
//   Threads: one per output. Four numbers read, one written.
// *_backward: dx[n,h,w,c] = sum of weight * dy[n,i,j,c] over the outputs that read (h,w). Places
//   never fall as i rises, so those that read pixel h follow each other: place h itself from
//   first_row[h] to first_row[h+1] and, in bilinear, place h-1 right before that.
//   Threads: one per input, gathering: no atomics, the same bits each run. Forward's outputs of a
//   pixel (4 when an image is doubled, 16 in bilinear) read, one written.
#include "common.cuh"

struct Pixel {
    int c, w, h;
    long long n;
};

// The place in an array (N, H, W, C) of its element `index`.
static __device__ Pixel place(long long index, int C, int H, int W)
{
    Pixel p;
    p.c = index % C;  index /= C;
    p.w = index % W;  index /= W;
    p.h = index % H;
    p.n = index / H;
    return p;
}

extern "C" __global__ void __launch_bounds__(256)
nearest_forward(const real* x, real* y, const int* row, const int* column, long long elements,
                int C, int H, int W, int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    Pixel p = place(index, C, OH, OW);
    y[index] = x[((p.n * H + row[p.h]) * W + column[p.w]) * C + p.c];
}

extern "C" __global__ void __launch_bounds__(256)
nearest_backward(const real* dy, real* dx, const int* first_row, const int* first_column,
                 long long elements, int C, int H, int W, int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    Pixel p = place(index, C, H, W);
    real total = 0;
    for (int i = first_row[p.h]; i < first_row[p.h + 1]; i++)
        for (int j = first_column[p.w]; j < first_column[p.w + 1]; j++)
            total += dy[((p.n * OH + i) * OW + j) * C + p.c];
    dx[index] = total;
}

extern "C" __global__ void __launch_bounds__(256)
bilinear_forward(const real* x, real* y, const int* row, const int* column, const real* down,
                 const real* right, long long elements, int C, int H, int W, int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    Pixel p = place(index, C, OH, OW);
    int top = row[p.h], bottom = min(top + 1, H - 1);
    int left = column[p.w], beside = min(left + 1, W - 1);
    real below = down[p.h], behind = right[p.w];

    const real* upper = x + (p.n * H + top) * W * C + p.c;
    const real* lower = x + (p.n * H + bottom) * W * C + p.c;
    long long a = (long long)left * C, b = (long long)beside * C;
    y[index] = (1 - below) * ((1 - behind) * upper[a] + behind * upper[b])
             + below * ((1 - behind) * lower[a] + behind * lower[b]);
}

extern "C" __global__ void __launch_bounds__(256)
bilinear_backward(const real* dy, real* dx, const int* first_row, const int* first_column,
                  const real* down, const real* right, long long elements, int C, int H, int W,
                  int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    Pixel p = place(index, C, H, W);
    real total = 0;
    for (int i = first_row[max(p.h - 1, 0)]; i < first_row[p.h + 1]; i++) {
        real rows = i < first_row[p.h] ? down[i] : 1 - down[i];
        for (int j = first_column[max(p.w - 1, 0)]; j < first_column[p.w + 1]; j++) {
            real columns = j < first_column[p.w] ? right[j] : 1 - right[j];
            total += rows * columns * dy[((p.n * OH + i) * OW + j) * C + p.c];
        }
    }
    dx[index] = total;
}
