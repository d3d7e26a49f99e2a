"""What parameters a CUDA kernel takes, read from its source, and whether arguments fit them.

A GPU launch copies raw bytes: a Python float passed where the kernel wants `float` is silently
wrong, and so is a float64 array where it wants `float*`. Both launchers (the emulator's and the
one on CuPy) therefore parse the kernel's parameter list and call `check_arguments` first.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

import numpy as np

_DTYPES = {
    "float": "float32", "double": "float64", "bool": "bool",
    "char": "int8", "signed char": "int8", "unsigned char": "uint8",
    "short": "int16", "unsigned short": "uint16",
    "int": "int32", "signed int": "int32", "unsigned int": "uint32", "unsigned": "uint32",
    "long long": "int64", "long long int": "int64",
    "unsigned long long": "uint64", "unsigned long long int": "uint64",
    "long": f"int{8 * ctypes.sizeof(ctypes.c_long)}", "size_t": "uint64",
    "unsigned long": f"uint{8 * ctypes.sizeof(ctypes.c_long)}",
}  # fmt: skip
_VECTORS = {"float": "float32", "double": "float64", "int": "int32", "uint": "uint32"}
_INTEGERS = [np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
_LIMITS = {dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in _INTEGERS}
_QUALIFIERS = {"const", "volatile", "__restrict__", "__restrict", "__grid_constant__"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    `ctype` is its C type without qualifiers (`float*`, `int`); `dtype` the NumPy dtype of the
    scalar or of the array's elements, None for `void*`; `alignment` what an array's address must be
    a multiple of.
    """

    name: str
    ctype: str
    dtype: np.dtype | None
    pointer: bool = False
    const: bool = False
    alignment: int = 1

    def __str__(self) -> str:
        return f"{'const ' if self.pointer and self.const else ''}{self.ctype} {self.name}"


# ---- parsing ---------------------------------------------------------------------------------


def blank_comments(source: str) -> str:
    """`source` with comments and the insides of strings as spaces: every offset stays valid."""

    def blank(match: re.Match) -> str:
        text = match.group()
        quote = text[0] if text[0] in "\"'" else ""
        inside = text[1:-1] if quote else text
        return quote + re.sub(r"[^\n]", " ", inside) + quote

    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, source, flags=re.DOTALL)


def parse_signature(source: str, name: str, defines: dict | None = None) -> tuple[Parameter, ...]:
    """The parameters of kernel `name` in CUDA C `source`.

    Parameters
    ----------
    source : str
        The text of a `.cu` file.
    name : str
        The kernel, a template with its arguments: `"im2col"`, `"sgemm<16>"`.
    defines : dict, optional
        Macros as given to the compiler, `{"real": "double"}`; `real` is `float` unless given.

    Raises
    ------
    ValueError
        If the source has no such kernel.
    TypeError
        If a parameter's type is neither a number nor a pointer to numbers.
    """
    text = blank_comments(source)
    base, _, template_values = name.partition("<")
    head, parameter_list = _find_kernel(text, base.strip(), name)
    words = _substitutions(text, defines or {})
    words |= _template_words(head, template_values.rstrip("> "))
    pieces = [piece for piece in split_commas(parameter_list) if piece not in ("", "void")]
    return tuple(_parse_parameter(piece, words, name) for piece in pieces)


def _find_kernel(text: str, base: str, name: str) -> tuple[str, str]:
    """What stands before the kernel's name (template, launch bounds), and its parameter list."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: " " * len(m.group()), text, flags=re.M)
    for match in re.finditer(rf"\b{re.escape(base)}\s*\(", code):
        start = max(code.rfind(mark, 0, match.start()) for mark in ";{}") + 1
        head = code[start : match.start()]
        if "__global__" in head:
            end = match.end() + matching_bracket(code[match.end() :])
            return head, code[match.end() : end]
    found = re.findall(r"__global__[^;{}]*?\b(\w+)\s*\((?=[^;{}()]*\)\s*[{;])", code)
    kernels = ", ".join(sorted(set(found))) or "none"
    raise ValueError(
        f"the source has no kernel {name!r}; it needs `__global__ void {base}(...)` "
        f"(kernels found: {kernels})"
    )


def matching_bracket(text: str) -> int:
    """The offset of the bracket that closes the one just before `text`."""
    depth = 1
    for offset, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            return offset
    raise ValueError(f"a bracket is never closed after {text[:40]!r}; close it")


def split_commas(text: str) -> list[str]:
    """The parts of a list, cut at the commas that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for offset, letter in enumerate(text):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            parts.append(text[start:offset])
            start = offset + 1
    return [part.strip() for part in [*parts, text[start:]]]


def _substitutions(text: str, defines: dict) -> dict[str, str]:
    """Words that stand for a type: macros and aliases of the source, then the given ones."""
    words = {"real": "float"}
    words |= dict(
        re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\w[\w ]*?)[ \t]*$", text, re.M)
    )
    words |= dict(re.findall(r"\busing\s+(\w+)\s*=\s*(\w[\w ]*?)\s*;", text))
    words |= {new: old for old, new in re.findall(r"\btypedef\s+(\w[\w ]*?)\s+(\w+)\s*;", text)}
    return words | {key: str(value) for key, value in defines.items()}


def _template_words(head: str, values: str) -> dict[str, str]:
    """`template <typename T, int N>` with `float, 16`: T stands for float, N for 16."""
    match = re.search(r"template\s*<([^>]*)>", head)
    if not match or not values:
        return {}
    names = [part.split("=")[0].split()[-1] for part in split_commas(match.group(1))]
    return dict(zip(names, split_commas(values), strict=False))


def _parse_parameter(piece: str, words: dict[str, str], kernel: str) -> Parameter:
    tokens = re.findall(r"\w+|\*|&|\[", piece.split("=")[0])
    names = [token for token in tokens if re.match(r"[A-Za-z_]", token)]
    name = names[-1]
    tokens.remove(name) if tokens.count(name) == 1 else tokens.pop()
    tokens = _expand(tokens, words)
    pointer = "*" in tokens or "[" in tokens
    pointee = tokens[: tokens.index("*")] if "*" in tokens else tokens
    base = " ".join(token for token in tokens if token not in _QUALIFIERS | {"*", "["})
    dtype, alignment = _element(base)
    known = dtype is not None or (base == "void" and pointer)
    if not known or tokens.count("*") > 1 or "&" in tokens:
        raise TypeError(
            f"kernel {kernel}: parameter `{' '.join(piece.split())}` is of a type that cannot be "
            "passed at a launch; use a number or a pointer to numbers"
        )
    ctype = base + ("*" if pointer else "")
    return Parameter(name, ctype, dtype, pointer, "const" in pointee, alignment)


def _expand(tokens: list[str], words: dict[str, str], depth: int = 0) -> list[str]:
    """Replaces macros and aliases by what they stand for, at most eight deep."""
    if depth == 8 or not any(token in words for token in tokens):
        return tokens
    expanded = [part for token in tokens for part in words.get(token, token).split()]
    return _expand(expanded, words, depth + 1)


def _element(base: str) -> tuple[np.dtype | None, int]:
    """The dtype behind a C type, and its alignment: float4 is float32, at multiples of 16."""
    if base in _DTYPES:
        dtype = np.dtype(_DTYPES[base])
        return dtype, dtype.itemsize
    if base[:-1] in _VECTORS and base[-1:] in ("2", "3", "4"):
        dtype = np.dtype(_VECTORS[base[:-1]])
        return dtype, dtype.itemsize * {"2": 2, "3": 1, "4": 4}[base[-1]]
    return None, 1


# ---- checking --------------------------------------------------------------------------------


def check_arguments(name: str, parameters: tuple[Parameter, ...], args) -> tuple:
    """The arguments of a launch, checked against the kernel's parameters.

    Arrays come back as they are, None (a null pointer) and Python integers as NumPy scalars of the
    exact dtype, so that a launcher can copy their bytes.

    Parameters
    ----------
    name : str
        The kernel, for the error's text.
    parameters : tuple of Parameter
        From `parse_signature`.
    args : sequence
        NumPy or CuPy arrays or None for pointers, NumPy scalars or Python integers for scalars.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, dtype or number.
    ValueError
        If an array is not contiguous, aligned or writable, or an integer does not fit.
    """
    if len(args) != len(parameters):
        wanted = ", ".join(str(parameter) for parameter in parameters)
        raise TypeError(
            f"{name}: {len(args)} arguments given, but the kernel has {len(parameters)} "
            f"parameters: {wanted}; pass one argument for each"
        )
    checkers = (_check_array if p.pointer else _check_scalar for p in parameters)
    return tuple(check(name, p, a) for check, p, a in zip(checkers, parameters, args, strict=True))


def _check_array(kernel: str, parameter: Parameter, array):
    if array is None:
        return np.uintp(0)
    flags, dtype = getattr(array, "flags", None), getattr(array, "dtype", None)
    problem = None
    if isinstance(array, np.generic) or flags is None or dtype is None:
        problem = TypeError, f"an array, but got {_describe(array)}; pass an array or None"
    elif dtype != parameter.dtype and parameter.dtype is not None:
        fix = f"convert it with astype(np.{parameter.dtype})"
        problem = TypeError, f"a {parameter.dtype} array, but got {_describe(array)}; {fix}"
    elif not flags.c_contiguous:
        fix = f"strides {array.strides}; pass np.ascontiguousarray(...) of it"
        problem = ValueError, f"a C-contiguous array, but got {_describe(array)} with {fix}"
    elif not parameter.const and not getattr(flags, "writeable", True):
        fix = "pass a copy, or declare the parameter const"
        problem = ValueError, f"an array it may write, but got a read-only one; {fix}"
    elif parameter.alignment > dtype.itemsize and address(array) % parameter.alignment:
        fix = f"got one at {address(array):#x}; pass a copy of it"
        problem = ValueError, f"an address that is a multiple of {parameter.alignment}, but {fix}"
    if problem:
        raise problem[0](f"{_where(kernel, parameter)} wants {problem[1]}")
    return array


def _where(kernel: str, parameter: Parameter) -> str:
    return f"{kernel}: parameter {parameter.name} ({parameter.ctype})"


def address(array) -> int:
    """Where an array's memory starts, for NumPy and for CuPy arrays."""
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0]
    return array.data.ptr


def _check_scalar(kernel: str, parameter: Parameter, value):
    dtype = parameter.dtype
    if isinstance(value, np.generic) and value.dtype == dtype:
        return value
    if isinstance(value, int) and dtype.kind in "iu":
        low, high = _LIMITS[dtype]
        if low <= value <= high:
            return dtype.type(value)
        raise ValueError(
            f"{_where(kernel, parameter)} wants an integer from {low} to {high}, but got {value}; "
            "declare the parameter with a wider type, or launch over smaller parts"
        )
    if isinstance(value, bool) and dtype.kind == "b":
        return np.bool_(value)
    fix = f"pass np.{dtype}({value!r})" if isinstance(value, (int, float)) else "pass a number"
    raise TypeError(
        f"{_where(kernel, parameter)} wants a {dtype} scalar, but got {_describe(value)}; {fix} "
        "(a launch copies bytes, so the type must be exact)"
    )


def _describe(value) -> str:
    if isinstance(value, np.generic):
        return f"the NumPy scalar {value!r}"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"a {value.dtype} array of shape {value.shape}"
    if isinstance(value, (int, float, bool, str)):
        return f"the Python {type(value).__name__} {value!r}"
    return f"a {type(value).__module__}.{type(value).__name__}"
