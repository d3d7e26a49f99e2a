// ReLU and ReLU6, element by element: y = f(x), and dx = dy f'(x), whose slope follows from y.
//
// Threads: one per LANES elements; neighbours read and write neighbouring numbers.
// Reads and writes: one number read forward, two backward; one written. There is nothing to gain
//   but bandwidth, so operations take an activation as an argument: see epilogue.cuh.
#include "epilogue.cuh"

// y = max(x, 0), NaN stays NaN; the slope at 0 is 0.
extern "C" __global__ void __launch_bounds__(256)
relu_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index() * LANES;
    if (i < elements) store_lanes(y + i, activate(load_lanes(x + i), ACTIVATION_RELU));
}

extern "C" __global__ void __launch_bounds__(256)
relu_backward(const real* dy, const real* y, real* dx, long long elements)
{
    long long i = thread_index() * LANES;
    if (i >= elements) return;
    store_lanes(dx + i, through(load_lanes(dy + i), load_lanes(y + i), ACTIVATION_RELU));
}

// y = min(max(x, 0), 6); the slope is 1 where 0 < x < 6, which is where 0 < y < 6.
extern "C" __global__ void __launch_bounds__(256)
relu6_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index() * LANES;
    if (i < elements) store_lanes(y + i, activate(load_lanes(x + i), ACTIVATION_RELU6));
}

extern "C" __global__ void __launch_bounds__(256)
relu6_backward(const real* dy, const real* y, real* dx, long long elements)
{
    long long i = thread_index() * LANES;
    if (i >= elements) return;
    store_lanes(dx + i, through(load_lanes(dy + i), load_lanes(y + i), ACTIVATION_RELU6));
}
