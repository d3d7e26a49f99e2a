"""The exercises of each tutorial: functions to write, and what `check` compares them with."""

from __future__ import annotations

EXERCISES = {
    "01_images": ("my_grey", "my_standardize"),
    "02_convolution": ("my_conv2d", "my_output_size"),
    "03_pooling": ("my_max_pool2d", "my_avg_pool2d", "my_max_pool2d_backward"),
    "04_autograd": ("my_sigmoid_backward", "my_linear_backward"),
    "05_backprop_conv": ("my_im2col", "my_col2im", "my_conv2d_backward"),
    "06c_loss_and_learning": ("my_cross_entropy", "my_cross_entropy_backward", "my_sgd_step"),
    "07_vgg16": ("my_conv_parameters",),
    "10_receptive_fields": ("my_receptive_field",),
    "17_beyond_images": ("my_overlap", "my_pixel_accuracy"),
}


def tutorial_of(name: str) -> str | None:
    """The tutorial whose name is part of a file's name, as in "lee_02_convolution.ipynb"."""
    return next((tutorial for tutorial in EXERCISES if tutorial in name), None)
