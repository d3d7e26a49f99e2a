// Convolution, rung 1: a thread for each result, and each thread reads all it needs from memory.
//
// forward          y[n,i,j,o]  = sum over (u,v,c) of x[n, i*SH+u*DH-PH, j*SW+v*DW-PW, c] w[o,u,v,c]
// input gradient   dx[n,h,k,c] = sum over (u,v,o) of dy[n,i,j,o] w[o,u,v,c], where window (i,j)
//                  has its cell (u,v) on pixel (h,k)
// weight gradient  dw[o,u,v,c] = sum over (n,i,j) of dy[n,i,j,o] times that number of x
//
// Here and in all rungs x, dx are (N, H, W, C), y, dy (N, OH, OW, O), w, dw (O, KH, KW, C), for
// each of G groups; a pixel's channels of all groups lie side by side.
//
// Threads: one per result; neighbours differ in the pixel (dw: in the filter).
// Reads and writes: two numbers read for each product, one written in all. The 32 threads of a
//   warp read numbers that lie a whole pixel apart: with 8 channels or more each read fetches 32
//   sectors of 32 bytes, and uses 4 bytes of each. That is what the next rung changes.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
naive_forward(const real* x, const real* w, const real* bias, const real* add, real* y,
              long long pixels, int G, int C, int O, int H, int W, int OH, int OW, int KH, int KW,
              int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    long long index = thread_index();
    if (index >= pixels * G * O) return;

    long long p = index % pixels;
    int o = index / pixels;
    int j = p % OW, i = p / OW % OH;
    long long n = p / OW / OH;

    real total = 0;
    for (int u = 0; u < KH; u++)
        for (int v = 0; v < KW; v++) {
            int h = i * SH + u * DH - PH, k = j * SW + v * DW - PW;
            if (h < 0 || h >= H || k < 0 || k >= W) continue;
            const real* pixel = x + ((n * H + h) * W + k) * G * C + o / O * C;
            const real* cell = w + (((long long)o * KH + u) * KW + v) * C;
            for (int c = 0; c < C; c++)
                total += pixel[c] * cell[c];
        }
    long long at = p * G * O + o;
    y[at] = finished(bias ? total + bias[o] : total, add, at, activation);
}

extern "C" __global__ void __launch_bounds__(256)
naive_input_gradient(const real* dy, const real* w, real* dx, long long pixels, int G, int C, int O,
                     int H, int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW,
                     int DH, int DW)
{
    long long index = thread_index();
    if (index >= pixels * G * C) return;

    long long p = index % pixels;
    int channel = index / pixels, g = channel / C, c = channel % C;
    int k = p % W, h = p / W % H;
    long long n = p / W / H;

    real total = 0;
    for (int u = 0; u < KH; u++)
        for (int v = 0; v < KW; v++) {
            int top = h + PH - u * DH, left = k + PW - v * DW;  // i * SH, j * SW if they divide
            if (top < 0 || top % SH || top / SH >= OH) continue;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            const real* window = dy + ((n * OH + top / SH) * OW + left / SW) * G * O + g * O;
            for (int o = 0; o < O; o++)
                total += window[o] * w[(((long long)(g * O + o) * KH + u) * KW + v) * C + c];
        }
    dx[p * G * C + channel] = total;
}

extern "C" __global__ void __launch_bounds__(256)
naive_weight_gradient(const real* x, const real* dy, real* dw, long long images, int G, int C,
                      int O, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                      int PH, int PW, int DH, int DW)
{
    long long index = thread_index();
    if (index >= (long long)G * O * KH * KW * C) return;

    int o = index % (G * O);
    long long cell = index / (G * O);
    int c = cell % C, v = cell / C % KW, u = cell / C / KW;

    real total = 0;
    for (long long n = 0; n < images; n++)
        for (int i = 0; i < OH; i++)
            for (int j = 0; j < OW; j++) {
                int h = i * SH + u * DH - PH, k = j * SW + v * DW - PW;
                if (h < 0 || h >= H || k < 0 || k >= W) continue;
                total += x[((n * H + h) * W + k) * G * C + o / O * C + c]
                       * dy[((n * OH + i) * OW + j) * G * O + o];
            }
    dw[o * ((long long)KH * KW * C) + cell] = total;
}
