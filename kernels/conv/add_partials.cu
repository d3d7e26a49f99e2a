// The second pass of a sum that was cut into parts: y[e] = activation(partial[0][e] +
// partial[1][e] + ... + bias + add[e]), always in that order.
//
// Threads: one per element. Reads and writes: one number per part, neighbours reading neighbours;
//   one number written.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
add_partials(const float* partial, const float* bias, const float* add, float* y,
             long long elements, int channels, int parts, int activation)
{
    long long index = thread_index();
    if (index >= elements) return;

    float sum = 0;
    #pragma unroll 8  // so many reads at once; the additions keep their order
    for (int part = 0; part < parts; part++)
        sum += partial[part * elements + index];
    y[index] = finished(bias ? sum + bias[index % channels] : sum, add, index, activation);
}
