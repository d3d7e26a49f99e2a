// Convolution, rung 2: the same sums as rung 1, with threads laid along memory.
//
// Threads: one per result, as before; but neighbours differ in the channel of the result, which is
//   how numbers lie in memory.
// Reads and writes: as many as before. In forward, a warp now reads one number of x, the same for
//   all its threads, and 32 neighbouring weights; so the weights come transposed, (KH, KW, C, O)
//   for each group. In the input gradient it reads one number of dy and 32 neighbouring weights,
//   in the weight gradient 32 neighbouring numbers of x and one of dy. It writes 32 neighbours.
// Why: memory is fetched in sectors of 32 bytes, 8 numbers. A warp that reads 32 neighbours needs 4
//   sectors, one that reads 32 scattered numbers needs 32.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
coalesced_forward(const real* x, const real* columns, const real* bias, const real* add, real* y,
                  long long pixels, int G, int C, int O, int H, int W, int OH, int OW,
                  int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    long long index = thread_index();
    if (index >= pixels * G * O) return;

    int filter = index % (G * O), g = filter / O, o = filter % O;
    long long p = index / (G * O);
    int j = p % OW, i = p / OW % OH;
    long long n = p / OW / OH;

    real total = 0;
    for (int u = 0; u < KH; u++)
        for (int v = 0; v < KW; v++) {
            int h = i * SH + u * DH - PH, k = j * SW + v * DW - PW;
            if (h < 0 || h >= H || k < 0 || k >= W) continue;
            const real* pixel = x + ((n * H + h) * W + k) * G * C + g * C;
            const real* cell = columns + (((long long)g * KH + u) * KW + v) * C * O + o;
            for (int c = 0; c < C; c++)
                total += pixel[c] * cell[(long long)c * O];
        }
    y[index] = finished(bias ? total + bias[filter] : total, add, index, activation);
}

extern "C" __global__ void __launch_bounds__(256)
coalesced_input_gradient(const real* dy, const real* w, real* dx, long long pixels, int G, int C,
                         int O, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                         int PH, int PW, int DH, int DW)
{
    long long index = thread_index();
    if (index >= pixels * G * C) return;

    int channel = index % (G * C), g = channel / C, c = channel % C;
    long long p = index / (G * C);
    int k = p % W, h = p / W % H;
    long long n = p / W / H;

    real total = 0;
    for (int u = 0; u < KH; u++)
        for (int v = 0; v < KW; v++) {
            int top = h + PH - u * DH, left = k + PW - v * DW;
            if (top < 0 || top % SH || top / SH >= OH) continue;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            const real* window = dy + ((n * OH + top / SH) * OW + left / SW) * G * O + g * O;
            for (int o = 0; o < O; o++)
                total += window[o] * w[(((long long)(g * O + o) * KH + u) * KW + v) * C + c];
        }
    dx[index] = total;
}

extern "C" __global__ void __launch_bounds__(256)
coalesced_weight_gradient(const real* x, const real* dy, real* dw, long long images, int G, int C,
                          int O, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                          int PH, int PW, int DH, int DW)
{
    long long index = thread_index();
    if (index >= (long long)G * O * KH * KW * C) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int v = rest % KW;  rest /= KW;
    int u = rest % KH;
    int o = rest / KH;

    real total = 0;
    for (long long n = 0; n < images; n++)
        for (int i = 0; i < OH; i++)
            for (int j = 0; j < OW; j++) {
                int h = i * SH + u * DH - PH, k = j * SW + v * DW - PW;
                if (h < 0 || h >= H || k < 0 || k >= W) continue;
                total += x[((n * H + h) * W + k) * G * C + o / O * C + c]
                       * dy[((n * OH + i) * OW + j) * G * O + o];
            }
    dw[index] = total;
}
