"""What operations on rows compute: losses, softmax, products, sums, moves."""

from __future__ import annotations

from minicnn.stepper.notation import over, shape_of, wanted


def _softmax_cross_entropy(step):
    N, K = shape_of(step, "x")
    p = f"p[n,k] = e^x[n,k] / Σ e^x[n,l]   for {over(n=N, k=K)}; sum over {over(l=K)}"
    if step.direction == "forward":
        return [f"L = {'' if N == 1 else f'1/{N} '}Σ -ln p[n,t[n]]   over {over(n=N)}", p]
    share = "" if N == 1 else f" / {N}"
    return [f"dx[n,k] = dy (p[n,k] - (1 if k = t[n] else 0)){share}", p]


def _moved(text):
    def write(step):
        if step.direction == "forward":
            return [f"y = {text}, {shape_of(step, 'x')} to {shape_of(step, 'y')}"]
        return [f"dx = dy, put back where the elements came from: {shape_of(step, 'x')}"]

    return write


def _reduced(symbol):
    def write(step):
        axes = ", ".join(map(str, step.op.dims))
        if step.direction == "forward":
            shapes = f"{shape_of(step, 'x')} to {shape_of(step, 'y')}"
            return [f"y = {symbol} of x over axis {axes}: {shapes}"]
        share = " / the number of elements" if step.operation == "Mean" else ""
        return [f"dx = dy{share}, handed to every element of the {symbol}"]

    return write


def _softmax(step):
    forward = step.direction == "forward"
    if step.operation == "LogSoftmax":
        text = "y[k] = x[k] - ln Σ e^x[l]" if forward else "dx[k] = dy[k] - e^y[k] Σ dy[l]"
    else:
        text = "y[k] = e^x[k] / Σ e^x[l]" if forward else "dx[k] = y[k] (dy[k] - Σ dy[l] y[l])"
    return [f"{text}, l along axis {step.op.dim}"]


def _nll(step):
    if step.direction == "forward":
        return [f"y[n] = -w[n] x[n,t[n]]   for {over(n=shape_of(step, 'x')[0])}"]
    return ["dx[n,k] = -w[n] dy[n] where k = t[n], else 0"]


def _soft_target(step):
    N, K = shape_of(step, "x")
    p = f"p[n] the softmax of x[n], {over(n=N, k=K)}"
    if step.direction == "forward":
        return ["y[n] = Σ -q[n,k] ln p[n,k]", p]
    return [*wanted(step, {"x": "dx[n,k] = dy[n] (p[n,k] Σ q[n,l] - q[n,k])",
                           "q": "dq[n,k] = -dy[n] ln p[n,k]"}), p]  # fmt: skip


def _margin(step):
    op = step.op
    if step.direction == "forward":
        return [f"y[n] = Σ max(0, {op.m_plus:g} - x[n,k])² where class k is there (t),",
                f"else {op.down_weight:g} max(0, x[n,k] - {op.m_minus:g})²"]  # fmt: skip
    return [f"dx[n,k] = -2 dy[n] max(0, {op.m_plus:g} - x[n,k]) where class k is there,",
            f"else 2 · {op.down_weight:g} dy[n] max(0, x[n,k] - {op.m_minus:g})"]  # fmt: skip


def _matmul(step):
    *_, n, m = shape_of(step, "y")
    stack = "...," if len(shape_of(step, "y")) > 2 else ""
    k = shape_of(step, "a")[-1]
    if step.direction == "forward":
        return [f"y[{stack}i,j] = Σ a[{stack}i,k] · b[{stack}k,j]",
                f"for {over(i=n, j=m)}; sum over {over(k=k)}"]  # fmt: skip
    return wanted(step, {
        "a": f"da[{stack}i,k] = Σ dy[{stack}i,j] · b[{stack}k,j]   over {over(j=m)}",
        "b": f"db[{stack}k,j] = Σ dy[{stack}i,j] · a[{stack}i,k]   over {over(i=n)}",
    })  # fmt: skip


ROW_FORMULAS = {
    "CapsuleMargin": _margin,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "NegativeLogLikelihood": _nll,
    "SoftTargetCrossEntropy": _soft_target,
    "Softmax": _softmax,
    "SoftmaxCrossEntropy": _softmax_cross_entropy,
    "ChannelShuffle": _moved("x with the groups' channels dealt out in turn"),
    "Reshape": _moved("x in another shape"),
    "Permute": _moved("x with its axes in another order"),
    "Index": _moved("some elements of x"),
    "Sum": _reduced("sum"),
    "Mean": _reduced("mean"),
}
