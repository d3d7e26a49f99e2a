"""What upsampling and unpooling compute."""

from __future__ import annotations

from minicnn.stepper.notation import over, shape_of


def _upsample_nearest2d(step):
    row, column = (f"floor({k} {n:g}/{m:g})" for k, (n, m) in zip("ij", step.op.spans))
    if step.direction == "forward":
        N, C, OH, OW = shape_of(step, "y")
        return [f"y[n,c,i,j] = x[n,c,{row},{column}]", f"for {over(n=N, c=C, i=OH, j=OW)}"]
    return [f"dx[n,c,h,w] = Σ dy[n,c,i,j]   over {row} = h, {column} = w"]


def _upsample_bilinear2d(step):
    H, W = shape_of(step, "x")[2:]
    half, less = ("", "") if step.op.align_corners else ("½", " - ½")
    row, column = (f"{f'({k}+{half})' if half else k} {n:g}/{m:g}{less}"
                   for k, (n, m) in zip("ij", step.op.spans))  # fmt: skip
    weights = [
        "weight[h] = 1 - |h - p|, weight[w] = 1 - |w - q|, none below 0",
        f"p = {row}, within 0 to {H - 1}; q = {column}, within 0 to {W - 1}",
    ]
    if step.direction == "forward":
        return ["y[n,c,i,j] = Σ x[n,c,h,w] · weight[h] · weight[w]", *weights]
    return ["dx[n,c,h,w] = Σ dy[n,c,i,j] · weight[h] · weight[w]   over all (i,j)", *weights]


def _max_unpool2d(step):
    N, C, OH, OW = shape_of(step, "y")
    if step.direction == "forward":
        return [
            f"y[n,c,p,q] = x[n,c,h,w] where place[n,c,h,w] = {OW} p + q, else 0",
            f"for {over(n=N, c=C, p=OH, q=OW)}; of several x with this place, the last",
        ]
    return [f"dx[n,c,h,w] = dy[n,c,p,q] where place[n,c,h,w] = {OW} p + q; 0 if another x is there"]


RESAMPLING_FORMULAS = {
    "UpsampleNearest2d": _upsample_nearest2d,
    "UpsampleBilinear2d": _upsample_bilinear2d,
    "MaxUnpool2d": _max_unpool2d,
}
