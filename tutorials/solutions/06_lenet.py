"""Solutions of 06."""


def my_conv_summary(in_channels, height, width, out_channels, kernel, stride=1, padding=0):
    OH, OW = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
    weights = out_channels * in_channels * kernel**2
    return OH, OW, weights + out_channels, weights * OH * OW


def my_dense_parameters(sizes):
    weights = sizes[:-1] * sizes[1:]
    return int(weights.sum() + sizes[1:].sum())


def my_accuracy(x, t):
    return (x.argmax(axis=1) == t).mean()
