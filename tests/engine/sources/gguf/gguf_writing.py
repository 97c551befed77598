"""Real GGUF files for the tests, written by the gguf package: any keys and tensors, without tensor data."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFEndian, GGUFWriter

logging.getLogger("gguf").setLevel(logging.ERROR)

HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
Key = int | float | bool | str | list[int] | list[bool] | list[str]
Shape = tuple[int, ...]


def write_gguf(
    path: Path,
    arch: str | None,
    keys: Mapping[str, Key] = {},
    tensors: Mapping[str, Shape | tuple[Shape, str]] = {},
    *,
    endian: GGUFEndian = GGUFEndian.LITTLE,
    whole: bool = False,
) -> Path:
    """A GGUF file of ``keys`` (a leading dot stands for the architecture) and ``tensors``.

    A tensor is its shape, contiguous dimension first, of F16 or of the type named beside it. A ``whole`` file is as
    long as its tensors need, with holes where their data would be.
    """
    writer = GGUFWriter(path, arch or "none", endianess=endian)
    if arch is None:
        del writer.kv_data[0]["general.architecture"]
    for key, value in keys.items():
        name = f"{arch}{key}" if key.startswith(".") else key
        match value:
            case bool():
                writer.add_bool(name, value)
            case int() if 0 <= value < 2**32:
                writer.add_uint32(name, value)
            case int():
                writer.add_int64(name, value)
            case float():
                writer.add_float32(name, value)
            case str():
                writer.add_string(name, value)
            case list():
                writer.add_array(name, value)
    stored = 0
    for name, given in tensors.items():
        shape, kind = given if isinstance(given[-1], str) else (given, "F16")
        size = stored_bytes(shape, kind)
        raw = GGMLQuantizationType[kind]
        writer.add_tensor_info(name, shape[::-1], np.dtype(np.float16), size, raw_dtype=raw)
        stored += -(-size // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    if whole:
        os.truncate(path, -(-path.stat().st_size // 32) * 32 + stored)
    return path


def stored_bytes(shape: Iterable[int], kind: str) -> int:
    """Bytes of a tensor of ``shape`` in the ggml type ``kind``."""
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    elements = 1
    for length in shape:
        elements *= length
    return elements // block * size
