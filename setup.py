"""What minicnn is called, what it needs, and which files go into a wheel."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version():
    """`__version__` of minicnn/__init__.py, read and not imported: NumPy may not be there yet."""
    source = (HERE / "minicnn" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)


setup(
    name="minicnn",
    version=version(),
    description="Convolutional networks from scratch, in readable NumPy and CUDA",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The minicnn authors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11",
    install_requires=["numpy>=2", "threadpoolctl", "tqdm", "hypothesis", "safetensors"],
    extras_require={
        # A GPU: CuPy and the parts of the CUDA toolkit it needs, by the driver's CUDA version.
        "cuda12": ["cupy-cuda12x[ctk]>=14"],
        "cuda13": ["cupy-cuda13x[ctk]>=14"],
        # No GPU: the CUDA compiler alone, to see that every kernel compiles.
        "nvrtc": ["cupy-cuda13x>=14", "nvidia-cuda-nvrtc==13.5.*"],  # kernels/REGISTERS.md is its
        # A C++ compiler for the emulator, where the machine has none.
        "emulator": ["ziglang"],
        "plots": ["matplotlib"],
        # Export, and the program that the tests run exported nets with.
        "onnx": ["onnx", "onnxruntime"],
        # JPEG and PNG files: minicnn.data.ImageFolder.
        "images": ["pillow>=11"],
        "tutorials": ["ipykernel", "jupytext", "matplotlib", "nbclient", "nbformat"],
        "docs": ["sphinx>=8.2", "myst-nb", "furo"],
        "test": ["pytest>=8", "pytest-xdist", "build", "pillow>=11"],
        # The page's tests, beside a Chromium that is installed already.
        "browser": ["playwright"],
        "lint": ["ruff>=0.17,<0.18", "codespell>=2.4"],
    },
    entry_points={"console_scripts": ["minicnn = minicnn.__main__:main"]},
    # kernels/ stands beside the package in a checkout and goes inside it in a wheel;
    # minicnn/paths.py finds it in both places.
    packages=[*find_packages(include=["minicnn", "minicnn.*"]), "minicnn.kernels"],
    package_dir={"minicnn.kernels": "kernels"},
    package_data={
        "minicnn.kernels": ["**/*.cu", "**/*.cuh", "**/*.md"],
        "minicnn.emulator": ["*.h", "*.cpp"],
        "minicnn.data": ["*.npz", "*.txt"],
        "minicnn.training.experiments": ["results/*"],
        "minicnn.stepper": ["**/*.html", "**/*.js", "**/*.css"],
    },
)
