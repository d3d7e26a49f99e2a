// Convolution, rungs 7 and 8: Winograd's F(F x F, 3 x 3) with F = 2 and F = 4. 3x3 filters and
// stride 1, with fewer products.
//
// Four outputs of a 3-tap filter need 12 products; by Toom and Cook's way of multiplying
// polynomials they need 6, at the price of additions: both factors are evaluated at 6 points (one
// of them infinity), multiplied point by point, and the result is read off the products. In two
// dimensions, for tiles of F x F outputs and windows of P x P inputs, P = F + 2:
//
//     V = B' d B    U = G g G'    M = sum over c of U_c V_c, point by point    Y = A' M A
//
// F = 2: 16 products for 4 outputs, 2.25 times fewer than 36; F = 4: 36 for 16, 4 times fewer than
// 144. The sum over c is, for each of the P*P points, a matrix product (tiles, C) x (C, O). With V
// stored as (tiles, P*P, C) and U as (P*P, O, C), all of them together are a 1x1 convolution with
// P*P groups: the launcher calls implicit_gemm_forward.cu for it. The input gradient is the same
// with turned filters. The weight gradient runs backwards through the three steps: dM = A dy A',
// dU = sum over tiles of V dM (a 1x1 convolution's weight gradient), dg = G' dU G.
//
// Rounding: F = 2 has the error of the direct sum, F = 4 about ten times as much, because its
// matrices have entries from 1/24 to 8. So it is for float32 alone, where that is a few 1e-6.
//
// Threads: one per tile and channel (filter transforms: per filter and channel); neighbours differ
//   in the channel. Reads and writes: P*P numbers of one side, F*F or P*P of the other, all kept in
//   registers between. Windows overlap by 2: the caches hold what neighbours read again.
//
// Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016; Winograd, 1980.
#include "epilogue.cuh"

#ifndef F
#define F 4  // outputs along a side of a tile
#endif
#define P (F + 2)

// ---- the three matrices
// ---------------------------------------------------------------------------
struct Image {  // B'
    static constexpr int out = P, in = P;
    static __device__ constexpr float at(int i, int j) {
#if F == 2
        constexpr float matrix[P][P] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
#else
        constexpr float matrix[P][P] = {
            {4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
            {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
#endif
        return matrix[i][j];
    }
};

struct Filter {  // G
    static constexpr int out = P, in = 3;
    static __device__ constexpr float at(int i, int j) {
#if F == 2
        constexpr float matrix[P][3] = {
            {1, 0, 0}, {1.f / 2, 1.f / 2, 1.f / 2}, {1.f / 2, -1.f / 2, 1.f / 2}, {0, 0, 1}};
#else
        constexpr float matrix[P][3] = {
            {1.f / 4, 0, 0},
            {-1.f / 6, -1.f / 6, -1.f / 6}, {-1.f / 6, 1.f / 6, -1.f / 6},
            {1.f / 24, 1.f / 12, 1.f / 6}, {1.f / 24, -1.f / 12, 1.f / 6},
            {0, 0, 1}};
#endif
        return matrix[i][j];
    }
};

struct Output {  // A'
    static constexpr int out = F, in = P;
    static __device__ constexpr float at(int i, int j) {
#if F == 2
        constexpr float matrix[F][P] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
#else
        constexpr float matrix[F][P] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0},
                                        {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
#endif
        return matrix[i][j];
    }
};

template <class Matrix>
struct Transposed {
    static constexpr int out = Matrix::in, in = Matrix::out;
    static __device__ constexpr float at(int i, int j) { return Matrix::at(j, i); }
};

// One number of L d: row i of L times column j. Entries are known when this is compiled, and a
// product with 0 is no instruction.
template <class L, int columns>
__device__ __forceinline__ float row_times(int i, const float (&d)[L::in][columns], int j)
{
    float sum = 0;
    #pragma unroll
    for (int k = 0; k < L::in; k++)
        if (L::at(i, k) != 0) sum += L::at(i, k) * d[k][j];
    return sum;
}

// r = L d L'
template <class L>
__device__ __forceinline__ void transform(const float (&d)[L::in][L::in],
                                          float (&r)[L::out][L::out])
{
    float half[L::in][L::out];  // (L d)'
    #pragma unroll
    for (int i = 0; i < L::out; i++)
        #pragma unroll
        for (int j = 0; j < L::in; j++) half[j][i] = row_times<L>(i, d, j);
    #pragma unroll
    for (int i = 0; i < L::out; i++)
        #pragma unroll
        for (int j = 0; j < L::out; j++) r[i][j] = row_times<L>(j, half, i);
}

// ---- places
// ---------------------------------------------------------------------------------------
struct TileOf {  // which tile of which image, and which channel
    long long tile, n;
    int i, j, c;
};

__device__ __forceinline__ TileOf tile_of(long long index, int channels, int down, int across)
{
    long long tile = index / channels, row = tile / across;
    return {tile, row / down, (int)(row % down), (int)(tile % across), (int)(index % channels)};
}

// A P x P window of an image with its corner at (top, left), or the F x F of an output; 0 outside.
template <int side>
__device__ __forceinline__ void read_square(const float* image, int C, int H, int W, int top,
                                            int left, float (&d)[side][side])
{
    #pragma unroll
    for (int i = 0; i < side; i++)
        #pragma unroll
        for (int j = 0; j < side; j++) {
            int h = top + i, w = left + j;
            bool inside = h >= 0 && h < H && w >= 0 && w < W;
            d[i][j] = inside ? image[((long long)h * W + w) * C] : 0;
        }
}

template <int side>
__device__ __forceinline__ void write_points(const float (&d)[side][side], float* to,
                                             long long pitch)
{
    #pragma unroll
    for (int i = 0; i < side; i++)
        #pragma unroll
        for (int j = 0; j < side; j++) to[(i * side + j) * pitch] = d[i][j];
}

template <int side>
__device__ __forceinline__ void read_points(const float* from, long long pitch,
                                            float (&d)[side][side])
{
    #pragma unroll
    for (int i = 0; i < side; i++)
        #pragma unroll
        for (int j = 0; j < side; j++) d[i][j] = from[(i * side + j) * pitch];
}

// ---- forward
// --------------------------------------------------------------------------------------

// x (images, H, W, C) to V (images * TH * TW, P*P, C).
extern "C" __global__ void __launch_bounds__(256)
winograd_image(const float* x, float* V, long long elements, int C, int H, int W, int TH, int TW,
               int PH, int PW)
{
    long long index = thread_index();
    if (index >= elements) return;
    TileOf at = tile_of(index, C, TH, TW);

    float d[P][P], v[P][P];
    read_square(x + at.n * H * W * C + at.c, C, H, W, at.i * F - PH, at.j * F - PW, d);
    transform<Image>(d, v);
    write_points(v, V + at.tile * P * P * C + at.c, C);
}

// w (O, 3, 3, C) to U (P*P, O, C), or turned for the input gradient: to (P*P, C, O), of w[2-u,
// 2-v].
extern "C" __global__ void __launch_bounds__(256)
winograd_filter(const float* w, float* U, long long elements, int O, int C, int turned)
{
    long long index = thread_index();
    if (index >= elements) return;
    int c = turned ? index / O : index % C, o = turned ? index % O : index / C;

    float g[3][3], u[P][P];
    #pragma unroll
    for (int i = 0; i < 3; i++)
        #pragma unroll
        for (int j = 0; j < 3; j++)
            g[i][j] = w[((long long)o * 9 + (turned ? 8 - i * 3 - j : i * 3 + j)) * C + c];
    transform<Filter>(g, u);
    write_points(u, U + index, elements);
}

// M (images * TH * TW, P*P, O) to y (images, OH, OW, O) = activation(... + bias + add).
extern "C" __global__ void __launch_bounds__(256)
winograd_output(const float* M, const float* bias, const float* add, float* y, long long elements,
                int O, int OH, int OW, int TH, int TW, int activation)
{
    long long index = thread_index();
    if (index >= elements) return;
    TileOf at = tile_of(index, O, TH, TW);

    float m[P][P], r[F][F];
    read_points(M + at.tile * P * P * O + at.c, O, m);
    transform<Output>(m, r);
    #pragma unroll
    for (int i = 0; i < F; i++)
        #pragma unroll
        for (int j = 0; j < F; j++) {
            int h = at.i * F + i, w = at.j * F + j;
            if (h >= OH || w >= OW) continue;
            long long to = ((at.n * OH + h) * OW + w) * O + at.c;
            y[to] = finished_by_call(bias ? r[i][j] + bias[at.c] : r[i][j], add, to, activation);
        }
}

// ---- weight gradient
// ------------------------------------------------------------------------------

// dy (images, OH, OW, O) to dM (images * TH * TW, P*P, O).
extern "C" __global__ void __launch_bounds__(256)
winograd_output_gradient(const float* dy, float* dM, long long elements, int O, int OH, int OW,
                         int TH, int TW)
{
    long long index = thread_index();
    if (index >= elements) return;
    TileOf at = tile_of(index, O, TH, TW);

    float d[F][F], m[P][P];
    read_square(dy + at.n * OH * OW * O + at.c, O, OH, OW, at.i * F, at.j * F, d);
    transform<Transposed<Output>>(d, m);
    write_points(m, dM + at.tile * P * P * O + at.c, O);
}

// dU (P*P, O, C) to dw (O, 3, 3, C).
extern "C" __global__ void __launch_bounds__(256)
winograd_filter_gradient(const float* dU, float* dw, long long elements, int C)
{
    long long index = thread_index();
    if (index >= elements) return;

    float u[P][P], g[3][3];
    read_points(dU + index, elements, u);
    transform<Transposed<Filter>>(u, g);
    write_points(g, dw + index / C * 9 * C + index % C, C);
}
