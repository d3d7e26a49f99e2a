// Max pooling of x (N, H, W, C), forward and backward.
//
// forward: y[n,i,j,c] = the largest x of window (i,j); winner = h*W + w, the first pixel it is at.
//   Threads: one per output. KH*KW numbers read, two written; neighbours differ in c.
//   Only pixels of the image are read: padding, and what lies behind it, never wins. A NaN does.
// backward: dx[n,h,w,c] = sum of dy[n,i,j,c] over the windows whose winner is (h,w).
//   Threads: one per input, gathering from the windows that saw it: no atomics, the same bits each
//   run. At most ceil(KH/SH)*ceil(KW/SW) winners and gradients read, one number written.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
max_pool_forward(const real* x, real* y, int* winner, long long elements, int C, int H, int W,
                 int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
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
    for (int u = 0; u < KH; u++) {
        int h = i * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        for (int v = 0; v < KW; v++) {
            int w = j * SW + v * DW - PW;
            if (w < 0 || w >= W) continue;
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
max_pool_backward(const real* dy, const int* winner, real* dx, long long elements, int C, int H,
                  int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH,
                  int DW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;  rest /= C;
    int w = rest % W;  rest /= W;
    int h = rest % H;
    long long n = rest / H;

    real total = 0;
    for (int u = 0; u < KH; u++) {
        int top = h + PH - u * DH;
        if (top < 0 || top % SH || top / SH >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = w + PW - v * DW;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            long long output = ((n * OH + top / SH) * OW + left / SW) * C + c;
            if (winner[output] == h * W + w)
                total += dy[output];
        }
    }
    dx[index] = total;
}
