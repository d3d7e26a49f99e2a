// Depthwise convolution of x (N, H, W, C): M filters w (C*M, KH, KW) for each channel, o = c*M + m.
//
// forward: y = activation(z + add), where
//   z[n,i,j,o] = b[o] + sum over (u,v) of x[n, i*SH+u*DH-PH, j*SW+v*DW-PW, c] w[o,u,v]
//   and b and add may be null.
//   Threads: one per output; neighbours differ in o, so they read neighbouring channels. KH*KW
//   products are too few to pay for shared memory: at most 2 KH*KW + 2 numbers read, one written.
// input gradient: dx[n,h,w,c] = sum of dy[n,i,j,o] w[o,u,v] over the windows that saw (h,w).
//   Threads: one per input, gathering: no atomics, the same bits each run.
// weight gradient: dw[o,u,v] = sum over (n,i,j) of x[..] dy[n,i,j,o].
//   Threads: a block of 256 per weight. Each adds up every 256th output; the warps' sums are joined
//   by shuffles, then through shared memory, always in the same order.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
depthwise_forward(const real* x, const real* w, const real* b, const real* add, real* y,
                  long long elements, int M, int C, int H, int W, int OH, int OW, int KH, int KW,
                  int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int o = rest % (C * M);  rest /= C * M;
    int j = rest % OW;       rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    real total = b ? b[o] : (real)0;
    for (int u = 0; u < KH; u++) {
        int h = i * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        for (int v = 0; v < KW; v++) {
            int k = j * SW + v * DW - PW;
            if (k >= 0 && k < W)
                total += x[((n * H + h) * W + k) * C + o / M] * w[(o * KH + u) * KW + v];
        }
    }
    y[index] = finished(total, add, index, activation);
}

extern "C" __global__ void __launch_bounds__(256)
depthwise_input_gradient(const real* dy, const real* w, real* dx, long long elements, int M,
                         int C, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                         int PH, int PW, int DH, int DW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;  rest /= C;
    int k = rest % W;  rest /= W;
    int h = rest % H;
    long long n = rest / H;

    real total = 0;
    for (int u = 0; u < KH; u++) {
        int top = h + PH - u * DH;
        if (top < 0 || top % SH || top / SH >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = k + PW - v * DW;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            long long output = ((n * OH + top / SH) * OW + left / SW) * C * M;
            for (int o = c * M; o < (c + 1) * M; o++)
                total += dy[output + o] * w[(o * KH + u) * KW + v];
        }
    }
    dx[index] = total;
}

extern "C" __global__ void __launch_bounds__(256)
depthwise_weight_gradient(const real* x, const real* dy, real* dw, long long outputs, int M,
                          int C, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                          int PH, int PW, int DH, int DW)
{
    __shared__ real sums[8];  // one per warp

    int v = blockIdx.x % KW;
    int u = blockIdx.x / KW % KH;
    int o = blockIdx.x / KW / KH;

    real total = 0;
    for (long long index = threadIdx.x; index < outputs; index += 256) {
        int j = index % OW;
        int i = index / OW % OH;
        long long n = index / OW / OH;
        int h = i * SH + u * DH - PH;
        int k = j * SW + v * DW - PW;
        if (h >= 0 && h < H && k >= 0 && k < W)
            total += x[((n * H + h) * W + k) * C + o / M] * dy[index * C * M + o];
    }
    for (int distance = 16; distance > 0; distance /= 2)
        total += __shfl_down_sync(0xffffffffu, total, distance);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = total;
    __syncthreads();
    if (threadIdx.x == 0) {
        total = 0;
        for (int warp = 0; warp < 8; warp++)
            total += sums[warp];
        dw[blockIdx.x] = total;
    }
}
