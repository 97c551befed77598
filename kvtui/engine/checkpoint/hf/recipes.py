"""How Hugging Face's quantisation methods store one matrix.

Each function names the tensors that a file holds per matrix of ``out`` × ``in`` elements, and what they take.
"""

from __future__ import annotations

from fractions import Fraction

from kvtui.engine.checkpoint.encoding import Encoding


def plain(bits: int | Fraction = 16) -> Encoding:
    """One element after the other: bf16 and fp16 have 16 bits, fp32 has 32; of ggml's blocks, 8.5 bits of q8_0."""
    return Encoding(bits)


def absent() -> Encoding:
    """Not in the file: converters that do not know a module leave it out."""
    return Encoding(0)


def awq(bits: int = 4, group: int = 128) -> Encoding:
    """AWQ: qweight, and for each group of a row an f16 scale and a packed zero: 4 + 20/128 = 4.156 bits."""
    return Encoding(bits, (1, group), 16 + bits)


def gptq(bits: int = 4, group: int = 128, *, symmetric: bool = True, ordered: bool = False) -> Encoding:
    """GPTQ: as AWQ, and g_idx, the group (int32) of each in-feature; the file has zeros even when ``symmetric``.

    Engines drop the zeros of a symmetric file, and g_idx unless activations are ``ordered`` (desc_act). ``group`` is
    ALL where the file says -1.
    """
    zeros = 0 if symmetric else bits
    loaded = Encoding(bits, (1, group), 16 + zeros, input_bits=32 if ordered else 0)
    return Encoding(bits, (1, group), 16 + bits, input_bits=32, loaded=loaded)


def packed(bits: int = 4, group: int = 128, *, symmetric: bool = True) -> Encoding:
    """Compressed-tensors pack-quantized (W4A16): weight_packed, a bf16 scale per group, two int64 for the shape.

    Asymmetric files have a packed zero per group too.
    """
    return Encoding(bits, (1, group), 16 + (0 if symmetric else bits), matrix_bytes=16)


def per_channel(scale_bits: int = 16) -> Encoding:
    """8-bit weights (int8, FP8) with a scale per out-feature: bf16 in compressed-tensors, fp32 in bitsandbytes."""
    return Encoding(8, output_bits=scale_bits)


def per_tensor(static: bool = True) -> Encoding:
    """FP8 with one fp32 scale per matrix, and one for its input when that is ``static``."""
    return Encoding(8, matrix_bytes=8 if static else 4)


def blocks(rows: int = 128, columns: int = 128, scale_bits: int = 32) -> Encoding:
    """FP8 with a scale per block of 128 × 128: weight_scale_inv, fp32 in DeepSeek's files, bf16 in Qwen's."""
    return Encoding(8, (rows, columns), scale_bits)


def nvfp4(group: int = 16) -> Encoding:
    """NVFP4: an fp8 scale per 16 elements, an fp32 one per matrix and one for its input: 4.5 bits and 8 bytes."""
    return Encoding(4, (1, group), 8, matrix_bytes=8)


def mxfp4(group: int = 32) -> Encoding:
    """MXFP4: a shared exponent of 8 bits per 32 elements. What engines' kernels pad is the engines' own matter."""
    return Encoding(4, (1, group), 8)


def nf4(*, double: bool = True) -> Encoding:
    """Bitsandbytes NF4 and FP4: an fp32 absmax per 64 elements, and the map of 16 values per matrix: 4.5 bits.

    With ``double`` quantisation absmax is 8 bits, with an fp32 scale per 256 of them and a map of 256 values: 4.127.
    """
    if double:
        return Encoding(4, (1, 64), 8, matrix_bytes=4 * (16 + 256), nested=256)
    return Encoding(4, (1, 64), 32, matrix_bytes=4 * 16)


def affine(bits: int = 4, group: int = 64) -> Encoding:
    """A 16-bit scale and a 16-bit offset per group: MLX, HQQ and torchao weight-only; 4 + 32/64 = 4.5 bits."""
    return Encoding(bits, (1, group), 32)


def scaled(bits: int, group: int) -> Encoding:
    """An 8-bit scale per group: MLX's modes mxfp4 (32), nvfp4 (16) and mxfp8 (32)."""
    return Encoding(bits, (1, group), 8)


def exl2(bits: Fraction) -> Encoding:
    """EXL2: a mixture chosen by search; the number of bits in the name is the mean, scales included."""
    return Encoding(bits)


def exl3(bits: Fraction) -> Encoding:
    """EXL3: a trellis of ``bits`` per element, with f16 sign vectors along both sides."""
    return Encoding(bits, input_bits=16, output_bits=16)
