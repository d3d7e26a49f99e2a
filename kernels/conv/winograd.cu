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
// Threads: one per tile and LANES channels (filter transforms: per filter and channels); neighbours
//   differ in the channel. Reads and writes: P*P numbers of one side, F*F or P*P of the other, all
//   kept in registers between. Windows overlap by 2: the caches hold what neighbours read again.
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

// Number i of L d. Entries are known when this is compiled, and a product with 0 is no instruction.
template <class L>
__device__ __forceinline__ Lanes times(int i, const Lanes (&d)[L::in])
{
    Lanes sum = 0;
    #pragma unroll
    for (int k = 0; k < L::in; k++)
        if (L::at(i, k) != 0) sum += L::at(i, k) * d[k];
    return sum;
}

// L d L', where read(i, j) gives a number of d and write(i, j, number) takes one of the result.
template <class L, class Read, class Write>
__device__ __forceinline__ void transform(const Read& read, const Write& write)
{
    Lanes half[L::out][L::in];  // L d
    #pragma unroll
    for (int j = 0; j < L::in; j++) {
        Lanes column[L::in];
        #pragma unroll
        for (int i = 0; i < L::in; i++) column[i] = read(i, j);
        #pragma unroll
        for (int i = 0; i < L::out; i++) half[i][j] = times<L>(i, column);
    }
    #pragma unroll
    for (int i = 0; i < L::out; i++)
        #pragma unroll
        for (int j = 0; j < L::out; j++) write(i, j, times<L>(j, half[i]));
}

// ---- places
// ---------------------------------------------------------------------------------------

// The tile and the first channel of this thread, of the tiles from number `first` on.
struct TileOf {
    long long n;
    int i, j, c;
    long long tile;  // counted from `first`
};

__device__ __forceinline__ TileOf tile_of(long long first, int channels, int down, int across)
{
    int threads = channels / LANES;
    Place at = place_of(first * threads + thread_index(), down, across, threads);
    return {at.n, at.h, at.w, at.c * LANES, (at.n * down + at.h) * across + at.w - first};
}

// Reads a window of an image with its corner at (top, left): 0 outside.
struct Window {
    const float* corner;
    int top, left, H, W, C;

    __device__ __forceinline__ Window(const float* image, int C, int H, int W, int top, int left)
        : corner(image + ((long long)top * W + left) * C), top(top), left(left), H(H), W(W), C(C) {}

    __device__ __forceinline__ Lanes operator()(int i, int j) const
    {
        bool inside = (unsigned)(top + i) < (unsigned)H && (unsigned)(left + j) < (unsigned)W;
        return inside ? load_lanes(corner + ((long long)i * W + j) * C) : Lanes(0);
    }
};

// Read and write the numbers of a tile (side, side), `pitch` numbers apart in memory.
template <int side>
struct Points {
    const float* from;
    long long pitch;

    __device__ __forceinline__ Lanes operator()(int i, int j) const
    {
        return load_lanes(from + (i * side + j) * pitch);
    }
};

template <int side>
struct ToPoints {
    float* to;
    long long pitch;

    __device__ __forceinline__ void operator()(int i, int j, Lanes number) const
    {
        store_lanes(to + (i * side + j) * pitch, number);
    }
};

// ---- forward
// --------------------------------------------------------------------------------------

// Tiles first, first + 1, ... of x (images, H, W, C), or rather of its convolution, to V: number p
// of a tile's P*P lies `point` after number p - 1, and `tile` after that of the tile before.
extern "C" __global__ void __launch_bounds__(256)
winograd_image(const float* x, float* V, long long elements, long long first, long long tile,
               long long point, int C, int H, int W, int TH, int TW, int PH, int PW)
{
    if (thread_index() * LANES >= elements) return;
    TileOf at = tile_of(first, C, TH, TW);
    Window window(x + at.n * H * W * C + at.c, C, H, W, at.i * F - PH, at.j * F - PW);
    transform<Image>(window, ToPoints<P>{V + at.tile * tile + at.c, point});
}

// w (O, 3, 3, C) to U (P*P, O, C), of the filters turned by half a turn if `turned`. If `swapped`,
// to U (P*P, C, O): then LANES is 1.
extern "C" __global__ void __launch_bounds__(256)
winograd_filter(const float* w, float* U, long long elements, int O, int C, int turned,
                int swapped)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    int c = swapped ? index / O : index % C, o = swapped ? index % O : index / C;

    const float* filter = w + (long long)o * 9 * C + c;
    auto cell = [=](int i, int j) {
        return load_lanes(filter + (turned ? 8 - i * 3 - j : i * 3 + j) * C);
    };
    transform<Filter>(cell, ToPoints<P>{U + index, elements});
}

// M, laid out as V, to tiles first, first + 1, ... of y (images, OH, OW, O) =
// activation(... + bias + add).
extern "C" __global__ void __launch_bounds__(256)
winograd_output(const float* M, const float* bias, const float* add, float* y, long long elements,
                long long first, long long tile, long long point, int O, int OH, int OW, int TH,
                int TW, int activation)
{
    if (thread_index() * LANES >= elements) return;
    TileOf at = tile_of(first, O, TH, TW);

    Lanes b = bias ? load_lanes(bias + at.c) : Lanes(0);
    long long corner = ((at.n * OH + at.i * F) * OW + at.j * F) * O + at.c;
    int down = OH - at.i * F, right = OW - at.j * F;  // pixels from the corner to the edges
    auto write = [=](int i, int j, Lanes z) {
        if (i >= down || j >= right) return;
        long long to = corner + ((long long)i * OW + j) * O;
        store_lanes(y + to, finished_by_call(z + b, add, to, activation));
    };
    transform<Output>(Points<P>{M + at.tile * tile + at.c, point}, write);
}

// ---- weight gradient
// ------------------------------------------------------------------------------

// Tiles of dy (images, OH, OW, O) to dM, laid out as V.
extern "C" __global__ void __launch_bounds__(256)
winograd_output_gradient(const float* dy, float* dM, long long elements, long long first,
                         long long tile, long long point, int O, int OH, int OW, int TH, int TW)
{
    if (thread_index() * LANES >= elements) return;
    TileOf at = tile_of(first, O, TH, TW);
    Window square(dy + at.n * OH * OW * O + at.c, O, OH, OW, at.i * F, at.j * F);
    transform<Transposed<Output>>(square, ToPoints<P>{dM + at.tile * tile + at.c, point});
}

// dU (P*P, O, C) to dw (O, 3, 3, C).
extern "C" __global__ void __launch_bounds__(256)
winograd_filter_gradient(const float* dU, float* dw, long long elements, int C)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    float* filter = dw + index / C * 9 * C + index % C;
    transform<Transposed<Filter>>(Points<P>{dU + index, elements}, ToPoints<3>{filter, C});
}
