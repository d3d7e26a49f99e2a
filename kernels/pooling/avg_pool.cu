// Average pooling of x (N, H, W, C), forward and backward; padding counts as zeros.
//
// forward: y[n,i,j,c] = sum of window (i,j) / D[i,j].
//   Threads: one per output. At most KH*KW numbers read, one written; neighbours differ in c.
// backward: dx[n,h,w,c] = sum of dy[n,i,j,c] / D[i,j] over the windows that saw (h,w).
//   Threads: one per input, gathering: no atomics, the same bits each run. At most
//   ceil(KH/SH)*ceil(KW/SW) gradients read, one number written.
//
// D[i,j] is `divisor`, unless that is 0: then the number of the window's cells inside the image and
// a border of BH rows and BW columns around it, which is the padding if that is counted, else 0.
#include "common.cuh"

// How many of K cells, the first at `start`, lie in an axis of size `size` with `border` around it.
static __device__ int cells(int start, int K, int size, int border)
{
    return min(start + K, size + border) - max(start, -border);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward(const real* x, real* y, long long elements, int C, int H, int W, int OH, int OW,
                 int KH, int KW, int SH, int SW, int PH, int PW, int BH, int BW, int divisor)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int j = rest % OW;  rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    int top = i * SH - PH, left = j * SW - PW;
    real total = 0;
    for (int h = max(top, 0); h < min(top + KH, H); h++)
        for (int w = max(left, 0); w < min(left + KW, W); w++)
            total += x[((n * H + h) * W + w) * C + c];
    y[index] = total / (divisor ? divisor : cells(top, KH, H, BH) * cells(left, KW, W, BW));
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward(const real* dy, real* dx, long long elements, int C, int H, int W, int OH, int OW,
                  int KH, int KW, int SH, int SW, int PH, int PW, int BH, int BW, int divisor)
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
        int top = h - u;  // of the window that sees this pixel as its cell u
        int i = (top + PH) / SH;
        if (top + PH < 0 || (top + PH) % SH || i >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = w - v;
            int j = (left + PW) / SW;
            if (left + PW < 0 || (left + PW) % SW || j >= OW) continue;
            int count = divisor ? divisor : cells(top, KH, H, BH) * cells(left, KW, W, BW);
            total += dy[((n * OH + i) * OW + j) * C + c] / count;
        }
    }
    dx[index] = total;
}
