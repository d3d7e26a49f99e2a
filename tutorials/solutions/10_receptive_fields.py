"""Solutions of 10."""


def my_receptive_field(layers):
    size, jump = 1, 1
    for kernel, stride in layers.tolist():
        size += (kernel - 1) * jump
        jump *= stride
    return size
