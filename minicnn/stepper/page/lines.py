"""Which lines of an operation's drawings compute the number that a lens is on."""

from __future__ import annotations

# operation -> drawing -> letter of the array ("y", or the input whose gradient it is) -> fragments.
# The first fragment's line computes a term (or all terms at once), the second's writes the number.
# A test asks that each fragment is in one line of the source alone.
_CONV_LOOPS = {
    "y": ("total += x[n, first + c, h, k] * w[o, c, u, v]", "z[n, o, i, j] = total"),
    "x": ("dx[n, first + c, h, k] += g * w",),
    "w": ("dw[o, c, u, v] += g * x",),
    "b": ("db[o] += g",),
}
_MAX_LOOPS = {
    "y": ("best, winner[n, i, j, c] = value", "y[n, c, i, j] = best"),
    "x": ("dx[n, c, h, w] += dy[n, c, i, j]",),
}
_MAX_NUMPY = {"y": ("return nchw(read_at(xh, winner))",), "x": ("return nchw(add_at(",)}
_MEAN_LOOPS = {
    "y": ("y[n, c, i, j] += x[n, c, h, w]", "y[n, c, i, j] /= self.divisor"),
    "x": ("dx[n, c, h, w] += dy[n, c, i, j] / self.divisor",),
}
FRAGMENTS = {
    "Conv2d": {
        "loops": _CONV_LOOPS,
        "numpy": {
            "y": ("im2col(xg, *self.geometry(w)) @ filter_rows(wg).T", "z += b"),
            "x": ("dx.append(col2im(",),
            "w": ("dw.append((dzg.T @ col)",),
            "b": ("dz.sum(axis=(0, 2, 3))",),
        },
        "cuda": {
            "y": ("total += pixel[c] * cell[c]", "y[at] = finished("),
            "x": ("total += window[o] * w[",),
            "w": ("total += x[((n * H + h) * W + k)",),
        },
    },
    "DepthwiseConv2d": {
        "loops": _CONV_LOOPS,
        "numpy": {
            "y": ("z += view[:, :, :, u, v, :, None] * weights", "z += b"),
            "x": ("target[:, :, :, u, v] += (dzc * weights",),
            "w": ("dw[:, :, u, v] = (view",),
            "b": ("dz.sum(axis=(0, 2, 3))",),
        },
        "cuda": {"y": ("load_lanes(weights + v * C * M)",)},
    },
    "ConvTranspose2d": {
        "loops": {
            "y": ("y[n, first + o, h, k] += x[n, c, i, j]", "y[n, o, h, k] += b[o]"),
            "x": ("dx[n, c, i, j] += dy",),
            "w": ("dw[c, o, u, v] += dy",),
            "b": ("db[o] += dy",),
        },
        "numpy": {
            "y": ("col2im(rows(xg) @ filter_rows(wg)", "b[:, None, None]"),
            "x": ("dx.append((col @ filter_rows(wg).T)",),
            "w": ("dw.append((rows(xg).T @ col)",),
            "b": ("dy.sum(axis=(0, 2, 3))",),
        },
    },
    "Linear": {
        "loops": {
            "y": ("total += x[*r, i] * w[o, i]", "z[*r, o] = total"),
            "x": ("dx[*r, i] += g * w",), "w": ("dw[o, i] += g * x",), "b": ("db[o] += g",),
        },
        "numpy": {
            "y": ("z = x @ w.T", "z += b"), "x": ("dx = dadd @ w",),
            "w": ("dw = dz.T @ x",), "b": ("db = dz.sum(axis=0)",),
        },
        "cuda": dict.fromkeys("yxw", ("total += a_tile[y][i] * b_tile[i][x]",)),
    },
    "MatMul": {
        "numpy": {
            "y": ("return a @ b",), "a": ("unbroadcast(dy @ b",), "b": ("unbroadcast(a.swapaxes",),
        },
        "cuda": dict.fromkeys("yab", ("total += a_tile[y][i] * b_tile[i][x]",)),
    },
    "MaxPool2d": {
        "loops": _MAX_LOOPS, "numpy": _MAX_NUMPY,
        "cuda": {
            "y": ("best = first ? value : select(stays", "store_lanes(y + index, best)"),
            "x": ("total += select(won",),
        },
    },
    "AdaptiveMaxPool2d": {"loops": _MAX_LOOPS, "numpy": _MAX_NUMPY},
    "AvgPool2d": {
        "loops": _MEAN_LOOPS,
        "numpy": {"y": ("return nchw(view.sum(axis=(3, 4)) / divisors",),
                  "x": ("target[:, :, :, u, v] += share",)},
        "cuda": {"y": ("total += load_lanes(x +", "store_lanes(y + index, total / count)"),
                 "x": ("total += load_lanes(dy +",)},
    },
    "AdaptiveAvgPool2d": {
        "loops": _MEAN_LOOPS,
        "numpy": {"y": ("y[:, i, j] = xh",), "x": ("dx[:, rows, columns] += dyh",)},
        "cuda": {"y": ("total += x[((n * H + h) * W + w) * C + c]", "y[index] = total /"),
                 "x": ("/ (rows * columns)",)},
    },
    "ReLU": {
        "loops": {"y": ("y[k] = self.value(",), "x": ("dx[k] = dy[k] *",)},
        "numpy": {"y": ("y = xp(x).maximum(x, 0",), "x": ("return dy * (y > 0)",)},
    },
    "BatchNorm": {
        "loops": {"y": ("z[k] = self.normalized(", "z[k] += 0 if b is None"),
                  "x": ("dx[k] = slope *",), "w": ("dw[c], db[c] =",), "b": ("dw[c], db[c] =",)},
        "numpy": {"y": ("z = xhat * (1 if w is None else w)", "z += b"),
                  "x": ("dx = dz - db / R",), "w": ("db, dw =",), "b": ("db, dw =",)},
        "cuda": {"y": ("return (x - mean) * scale + b", "finished(line.z(load_lanes(x + i))"),
                 "x": ("g * line.scale - p",), "w": ("sum_xhat += dz *",),
                 "b": ("sum += dz;",)},
    },
    "LocalResponseNorm": {
        "loops": {"y": ("total = sum(float(x[n, j, h, w]) ** 2", "y[k] = float(x[k])")},
        "numpy": {"y": ("s = self.k +", "return nchw(x * s**-self.beta)"),
                  "x": ("spread = channel_sums(", "return nchw(g - 2")},
        "cuda": {"y": ("total += value * value", "y[i] = x[i] * (real)pow("),
                 "x": ("total += dy[j] * y[j] / s[j]", "dx[i] = dy[i] * (real)pow(")},
    },
    "Softmax": {
        "numpy": {"y": ("y = xp(x).exp(x", "y = y / y.sum("),
                  "x": ("return y * (dy",)},
    },
    "SoftmaxCrossEntropy": {
        "loops": {"y": ("loss += (math.log(total)",), "x": ("dx[n, k] = dy * (p[n, k]",)},
        "numpy": {"y": ("return -log_p",), "x": ("dx[xp(dy).arange(len(t)), t] -= 1",)},
        "cuda": {"y": ("log_sum[n] = m + (real)log(s)",),
                 "x": ("dx[i] = (p - (k == t[n] ? 1 : 0))",)},
    },
    "Add": {"numpy": {"y": ("return a + b",)}},
    "Dropout": {"numpy": {"y": ("return x * mask",), "x": ("return dy * mask",)}},
}  # fmt: skip


def lines_of(operation, drawing, text) -> dict[str, list[int]]:
    """letter -> the lines (from 0) that compute a term, and that write the number."""
    lines = text.split("\n")
    found = {}
    for letter, fragments in FRAGMENTS.get(operation, {}).get(drawing, {}).items():
        places = [[k for k, line in enumerate(lines) if f in line][:1] for f in fragments]
        if all(places):
            found[letter] = [k for place in places for k in place]
    return found
