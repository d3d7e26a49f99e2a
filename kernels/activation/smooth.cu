// Smooth activations, element by element: y = f(x), and dx = dy f'(x) from the saved x.
//
// Threads: one per element; neighbours read and write neighbouring numbers.
// Reads and writes: one number read forward, two backward; one written. What is cheaper to compute
//   again than to read (the sigmoid of SiLU, the share of GELU) is not saved.
#include "epilogue.cuh"

// x moved to the nearer of -bound and bound where it lies outside; NaN stays NaN.
__device__ __forceinline__ real within(real x, real bound)
{
    return x < -bound ? -bound : x > bound ? bound : x;
}

// y = A tanh(2x/3) with A = 1.7159; the slope is 2/3 (A - y^2/A).
extern "C" __global__ void __launch_bounds__(256)
scaled_tanh_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = (real)1.7159 * (real)tanh(x[i] * (real)(2.0 / 3));
}

extern "C" __global__ void __launch_bounds__(256)
scaled_tanh_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i >= elements) return;
    real t = (real)tanh(x[i] * (real)(2.0 / 3));
    dx[i] = dy[i] * (real)(1.7159 * 2 / 3) * (1 - t * t);
}

// y = x s(x) with s the sigmoid; the slope is s (1 + x (1 - s)).
extern "C" __global__ void __launch_bounds__(256)
silu_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = activate(x[i], ACTIVATION_SILU);
}

extern "C" __global__ void __launch_bounds__(256)
silu_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i >= elements) return;
    real s = logistic(x[i]);
    dx[i] = dy[i] * s * (1 + x[i] * (1 - s));
}

// y = x P(x), P(x) = erfc(-x / sqrt 2) / 2; the slope is P(x) + x p(x), p(x) = e^(-x^2 / 2) /
// sqrt(2 pi). erfc and not 1 + erf: far to the left 1 + erf would cancel.
__device__ __forceinline__ real normal_share(real x)
{
    return (real)0.5 * (real)erfc(x * (real)-0.7071067811865476);
}

extern "C" __global__ void __launch_bounds__(256)
gelu_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = x[i] * normal_share(x[i]);
}

extern "C" __global__ void __launch_bounds__(256)
gelu_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i >= elements) return;
    real u = within(x[i], 40);  // p is 0 beyond
    real density = (real)exp(u * u * (real)-0.5) * (real)0.3989422804014327;
    dx[i] = dy[i] * (normal_share(x[i]) + x[i] * density);
}

// y = x (1 + t) / 2, t = tanh(c (x + 0.044715 x^3)), c = sqrt(2 / pi); t is 1 or -1 beyond +-20.
__device__ __forceinline__ real gelu_tanh(real u)
{
    return (real)tanh((real)0.7978845608028654 * (u + (real)0.044715 * u * u * u));
}

extern "C" __global__ void __launch_bounds__(256)
gelu_tanh_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = x[i] * ((1 + gelu_tanh(within(x[i], 20))) * (real)0.5);
}

extern "C" __global__ void __launch_bounds__(256)
gelu_tanh_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i >= elements) return;
    real u = within(x[i], 20), t = gelu_tanh(u);
    real dv = (real)0.7978845608028654 * (1 + (real)0.134145 * u * u);
    dx[i] = dy[i] * ((1 + t) * (real)0.5 + x[i] * ((1 - t * t) * (real)0.5) * dv);
}
