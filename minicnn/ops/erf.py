"""The complementary error function, which NumPy does not have.

    erfc x = 2/sqrt(pi) * (integral from x to infinity of e^(-u^2) du) = 1 - erf x

For x >= 0 the product (1 + 2x) e^(x^2) erfc x is smooth and stays between 1 and 1.2. In the
variable t = (x - 3) / (x + 3), which runs from -1 to 1 as x runs from 0 to infinity, 24 Chebyshev
polynomials give it to the last digit of a float64. The idea is that of Shepherd and Laframboise,
"Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", 1981; the coefficients
are worked out here, when they are first needed (about 2 ms).
"""

from __future__ import annotations

import math
from functools import cache

from minicnn.backends import xp

TERMS = 24  # the coefficients behind these are below 1e-15
NODES = 40
CENTRE = 3.0  # the x at t = 0


def erfc(x):
    """erfc of an array, in its dtype.

    In float64 the error is below 1e-15, and below 1e-14 of the value where the value is tiny.
    """
    lib = xp(x)
    a = lib.minimum(abs(x), 40)  # beyond that e^(-a^2) is 0, and a^2 might overflow
    t = (a - CENTRE) / (a + CENTRE)
    right = lib.exp(-a * a) * _chebyshev_sum(_coefficients(), t) / (1 + 2 * a)
    return lib.where(x < 0, 2 - right, right)


def _chebyshev_sum(coefficients, t):
    """Sum of c[j] T[j](t) by Clenshaw's recurrence, from T[j+1] = 2t T[j] - T[j-1]."""
    b, last = 0 * t, 0 * t
    for c in coefficients[:0:-1]:
        b, last = 2 * t * b - last + c, b
    return t * b - last + coefficients[0]


@cache
def _coefficients():
    """c[j] = 2/M * (sum over the nodes m of f(cos a[m]) cos(j a[m])), a[m] = pi (2m + 1) / 2M.

    The angle j a[m] is reduced as an integer: rounding it would cost a digit.
    """
    values = [_scaled_erfc(math.cos(math.pi * (2 * m + 1) / (2 * NODES))) for m in range(NODES)]
    coefficients = []
    for j in range(TERMS):
        angles = [math.pi * (j * (2 * m + 1) % (4 * NODES)) / (2 * NODES) for m in range(NODES)]
        total = math.fsum(f * math.cos(a) for f, a in zip(values, angles))
        coefficients.append(total * (2 if j else 1) / NODES)
    return coefficients


def _scaled_erfc(t):
    """(1 + 2x) e^(x^2) erfc x, at the x that belongs to t."""
    x = CENTRE * (1 + t) / (1 - t)
    if x < 1:
        return (1 + 2 * x) * math.exp(x * x) * math.erfc(x)
    fraction = x  # Laplace: sqrt(pi) e^(x^2) erfc x = 1 / (x + 1/2 / (x + 2/2 / (x + 3/2 / ...)))
    for n in range(500, 0, -1):
        fraction = x + n / 2 / fraction
    return (1 + 2 * x) / (math.sqrt(math.pi) * fraction)
