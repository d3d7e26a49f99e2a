// Average pooling of x (N, H, W, C), forward and backward; padding counts as zeros.
//
// forward: y[n,i,j,c] = sum of window (i,j) / (KH*KW).
//   Threads: one per output. At most KH*KW numbers read, one written; neighbours differ in c.
// backward: dx[n,h,w,c] = sum of dy[n,i,j,c] / (KH*KW) over the windows that saw (h,w).
//   Threads: one per input, gathering: no atomics, the same bits each run.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward(const real* x, real* y, long long elements, int C, int H, int W, int OH, int OW,
                 int KH, int KW, int SH, int SW, int PH, int PW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int j = rest % OW;  rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    real total = 0;
    for (int u = 0; u < KH; u++) {
        int h = i * SH + u - PH;
        if (h < 0 || h >= H) continue;
        for (int v = 0; v < KW; v++) {
            int w = j * SW + v - PW;
            if (w >= 0 && w < W)
                total += x[((n * H + h) * W + w) * C + c];
        }
    }
    y[index] = total / (KH * KW);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward(const real* dy, real* dx, long long elements, int C, int H, int W, int OH, int OW,
                  int KH, int KW, int SH, int SW, int PH, int PW)
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
        int top = h + PH - u;
        if (top < 0 || top % SH || top / SH >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = w + PW - v;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            total += dy[((n * OH + top / SH) * OW + left / SW) * C + c];
        }
    }
    dx[index] = total / (KH * KW);
}
