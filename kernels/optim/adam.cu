// A step of Adam, in place, all numbers of a parameter on their own:
//
//   m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g g;
//   w -= rate m / (sqrt(v) / root + eps), with the v of AMSGrad being the largest so far;
//   rate = lr / (1 - b1^t) and root = sqrt(1 - b2^t) come from the launcher.
//
// Threads: one per parameter.
// Reads and writes: w, g, m and v read, w, m and v written: 28 bytes; `largest`, null without
//   AMSGrad, adds 8.
// Why: as array expressions the step is more than ten launches, each of which reads and writes
//   whole arrays.
// Each operation is rounded by itself, as NumPy does it: a fused multiply-add would give other bits.
#include "optim/rounded.cuh"

extern "C" __global__ void __launch_bounds__(256)
adam(real* w, const real* g, real* m, real* v, real* largest, long long elements, real one_less_b1,
     real b2, real one_less_b2, real rate, real root, real eps)
{
    long long i = thread_index();
    if (i >= elements) return;

    real slope = g[i], mean = m[i];
    mean = plus(mean, times(one_less_b1, plus(slope, -mean)));
    real square = plus(times(b2, v[i]), times(times(one_less_b2, slope), slope));
    m[i] = mean;
    v[i] = square;
    if (largest) {
        real before = largest[i];
        square = before >= square || before != before ? before : square;  // a NaN stays
        largest[i] = square;
    }
    real size = plus(over(root_of(square), root), eps);
    w[i] = plus(w[i], -over(times(rate, mean), size));
}
