"""The exercises of each tutorial: functions and kernels to write, for `check`."""

from __future__ import annotations

EXERCISES = {
    "01_images": ("my_grey", "my_standardize"),
    "02_convolution": ("my_conv2d", "my_output_size"),
    "03_pooling": ("my_max_pool2d", "my_avg_pool2d", "my_max_pool2d_backward"),
    "04_autograd": ("my_sigmoid_backward", "my_linear_backward"),
    "05_backprop_conv": ("my_im2col", "my_col2im", "my_conv2d_backward"),
    "06_lenet": ("my_conv_summary", "my_dense_parameters", "my_accuracy"),
    "06b_batch_norm_dropout": (
        "my_batch_norm", "my_batch_norm_backward", "my_running_statistics", "my_dropout",
        "my_dropout_backward",
    ),
    "06c_loss_and_learning": ("my_cross_entropy", "my_cross_entropy_backward", "my_sgd_step"),
    "07_vgg16": ("my_conv_parameters",),
    "08_cifar_experiments": ("my_l2_step",),
    "09_alexnet_zfnet": ("my_local_response_norm",),
    "10_receptive_fields": ("my_receptive_field",),
    "13_after_resnet": ("my_squeeze_excitation", "my_separable_macs", "my_channel_shuffle"),
    "14_transfer_learning": ("my_nearest",),
    "15_cost": ("my_conv_macs", "my_line_fit"),
    "16_gpu_kernels": ("my_saxpy", "my_sectors", "my_transpose", "my_bank_cycles"),
    "17_beyond_images": ("my_overlap", "my_pixel_accuracy"),
    "18_cpu_speed": ("my_tiled_matmul", "my_winograd"),
}
KERNELS = ("my_saxpy", "my_transpose")  # those that are the source of a CUDA kernel


def tutorial_of(name: str) -> str | None:
    """The tutorial whose name is part of a file's name, as in "lee_02_convolution.ipynb"."""
    return next((tutorial for tutorial in EXERCISES if tutorial in name), None)
