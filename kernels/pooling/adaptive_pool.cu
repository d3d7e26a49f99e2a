// Pooling of x (N, H, W, C) to a given size (OH, OW); OH = OW = 1 is global pooling.
//
// Window i of an axis runs from floor(i*H/OH) to ceil((i+1)*H/OH), so pixel h lies in the windows
// from floor(h*OH/H) to ceil((h+1)*OH/H): the same rule with the roles of the axes exchanged.
//
// forward: y[n,i,j,c] = mean of window (i,j), or its largest x and winner = h*W + w, the first
//   pixel that is at; a NaN wins.
//   Threads: one per output. The window's numbers read, one or two written; neighbours differ in c.
// backward: dx[n,h,w,c] = sum over the windows that saw (h,w) of dy[n,i,j,c] / the window's size,
//   or of dy[n,i,j,c] where the winner is (h,w).
//   Threads: one per input, gathering: no atomics, the same bits each run.
#include "common.cuh"

// Where window i of `count` windows over `size` pixels begins, and where it ends (one past).
static __device__ int begin(int i, int size, int count) { return (long long)i * size / count; }
static __device__ int end(int i, int size, int count)
{
    return ((long long)(i + 1) * size + count - 1) / count;
}

extern "C" __global__ void __launch_bounds__(256)
adaptive_avg_forward(const real* x, real* y, long long elements, int C, int H, int W, int OH,
                     int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int j = rest % OW;  rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    int top = begin(i, H, OH), bottom = end(i, H, OH);
    int left = begin(j, W, OW), right = end(j, W, OW);
    real total = 0;
    for (int h = top; h < bottom; h++)
        for (int w = left; w < right; w++)
            total += x[((n * H + h) * W + w) * C + c];
    y[index] = total / ((bottom - top) * (right - left));
}

extern "C" __global__ void __launch_bounds__(256)
adaptive_avg_backward(const real* dy, real* dx, long long elements, int C, int H, int W, int OH,
                      int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;  rest /= C;
    int w = rest % W;  rest /= W;
    int h = rest % H;
    long long n = rest / H;

    real total = 0;
    for (int i = begin(h, OH, H); i < end(h, OH, H); i++) {
        int rows = end(i, H, OH) - begin(i, H, OH);
        for (int j = begin(w, OW, W); j < end(w, OW, W); j++) {
            int columns = end(j, W, OW) - begin(j, W, OW);
            total += dy[((n * OH + i) * OW + j) * C + c] / (rows * columns);
        }
    }
    dx[index] = total;
}

extern "C" __global__ void __launch_bounds__(256)
adaptive_max_forward(const real* x, real* y, int* winner, long long elements, int C, int H, int W,
                     int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int j = rest % OW;  rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    real best = 0;
    int place = -1;
    for (int h = begin(i, H, OH); h < end(i, H, OH); h++) {
        for (int w = begin(j, W, OW); w < end(j, W, OW); w++) {
            real value = x[((n * H + h) * W + w) * C + c];
            bool first_nan = value != value && best == best;
            if (place < 0 || value > best || first_nan) {
                best = value;
                place = h * W + w;
            }
        }
    }
    y[index] = best;
    winner[index] = place;
}

extern "C" __global__ void __launch_bounds__(256)
adaptive_max_backward(const real* dy, const int* winner, real* dx, long long elements, int C, int H,
                      int W, int OH, int OW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;  rest /= C;
    int w = rest % W;  rest /= W;
    int h = rest % H;
    long long n = rest / H;

    real total = 0;
    for (int i = begin(h, OH, H); i < end(h, OH, H); i++) {
        for (int j = begin(w, OW, W); j < end(w, OW, W); j++) {
            long long output = ((n * OH + i) * OW + j) * C + c;
            if (winner[output] == h * W + w)
                total += dy[output];
        }
    }
    dx[index] = total;
}
