"""Images in another size."""

from __future__ import annotations

import math

import numpy as np

from minicnn.functional.arguments import as_number, as_pair
from minicnn.functional.pooling import as_filled_images
from minicnn.ops.upsample import UpsampleBilinear2d, UpsampleNearest2d
from minicnn.tensor import Tensor

OPERATIONS = {"nearest": UpsampleNearest2d, "bilinear": UpsampleBilinear2d}


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None) -> Tensor:
    """An image in another size, larger or smaller.

    nearest: output[n,c,i,j] = input[n,c, floor(i H/OH), floor(j W/OW)]. bilinear: output (i, j)
    lies at ((i + 1/2) H/OH - 1/2, (j + 1/2) W/OW - 1/2) and is the mean of the four pixels around,
    which weigh the more the nearer they are. A pixel's gradient is the sum over the outputs that
    read it, by the same weights.

    With a scale factor s, 1/s takes the place of H/OH, though H s is rounded down to OH. As in
    PyTorch, that rounding is undone where s makes no difference to the size (OH = H) and, in
    nearest, where it doubles it (OH = 2H). PyTorch's `recompute_scale_factor` and `antialias` are
    not here: give the size for the first, and blur before shrinking for the second.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    size : int or pair (OH, OW), in pixels
    scale_factor : number or pair (for H, for W), above 0
        Either the size or the scale factor.
    mode : "nearest" or "bilinear"
    align_corners : bool, optional
        For bilinear: whether the middles of the four corner pixels stay where they are, so that
        output (i, j) lies at (i (H-1)/(OH-1), j (W-1)/(OW-1)), whatever the scale factor. No by
        default.

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH = floor(H s), OW likewise, if a scale factor was given.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above, or nothing would be left of the image.
    """
    name = "interpolate"
    x = as_filled_images(name, input)
    size, scale, mode, align = as_resampling(name, size, scale_factor, mode, align_corners)
    image = x.shape[2:]
    if scale is not None:
        size = tuple(math.floor(n * s) for n, s in zip(image, scale))
        if min(size) < 1:
            raise ValueError(
                f"{name}: scale_factor {scale_factor!r} leaves nothing of an image of {image}; "
                "use a larger one"
            )
    scale = scale or (None, None)
    spans = tuple(_span(n, o, s, mode, align) for n, o, s in zip(image, size, scale))
    return OPERATIONS[mode].apply(x, size=size, spans=spans, align_corners=align)


def _span(size, output, scale, mode, align_corners):
    """(n, m): as far as m outputs lie apart, n inputs do."""
    if align_corners:
        return (size - 1, output - 1) if output > 1 else (0, 1)
    rounded_away = output == size or (mode == "nearest" and output == 2 * size)
    return (size, output) if scale is None or rounded_away else (1, scale)


def as_resampling(name, size, scale_factor, mode, align_corners):
    """(size, scale, mode, align_corners): what does not depend on the image, checked.

    Of the pairs size and scale, one is None.
    """
    if mode not in OPERATIONS:
        raise ValueError(f"{name}: mode expects 'nearest' or 'bilinear', but got {mode!r}")
    if align_corners is not None and not isinstance(align_corners, (bool, np.bool_)):
        raise TypeError(f"{name}: align_corners expects True, False or None, "
                        f"but got {align_corners!r}")  # fmt: skip
    if align_corners is not None and mode == "nearest":
        raise ValueError(f"{name}: align_corners is for mode 'bilinear' only, but mode is "
                         "'nearest'; leave it out")  # fmt: skip
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"{name}: expects either size or scale_factor, but got size={size!r} and "
            f"scale_factor={scale_factor!r}"
        )
    if size is not None:
        return as_pair(name, "size", size, 1), None, mode, bool(align_corners)
    pair = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    if len(pair) != 2:
        raise ValueError(f"{name}: scale_factor expects a number or a pair (for H, for W), "
                         f"but got {scale_factor!r}")  # fmt: skip
    scale = tuple(
        as_number(name, "scale_factor", s, "above 0", lambda s: 0 < s < math.inf) for s in pair
    )
    return None, scale, mode, bool(align_corners)
