"""Named arrays in the safetensors format: a length, a JSON header, and the bytes of the arrays one after another.

Files may come from anywhere. Nothing of one is believed before it was checked against the file's own size, and reading
it runs no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_limited, write_whole
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.untrusted import plain

Arrays = dict[str, npt.NDArray[Any]]

DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I32": np.dtype("<i4")}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MOST_BYTES, MOST_HEADER, MOST_AXES = 2**34, 2**24, 8
METADATA = "__metadata__"


def write(path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write ``arrays`` of float16, float32 or int32 to ``path``, which appears whole or not at all. Raises OSError."""
    header: dict[str, Any] = {METADATA: dict(metadata)}
    parts, at = [], 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        data = little.tobytes()
        header[name] = {
            "dtype": NAMES[little.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_whole(path, b"".join([len(head).to_bytes(8, "little"), head, *parts]))


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays of ``path`` and its metadata. Raises InputError, one line that names the file."""
    shown = plain(str(path))
    try:
        data = read_limited(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MOST_HEADER, len(data) - 8):
        raise InputError(f"{shown}: is not a safetensors file")
    try:
        text = data[8 : 8 + size].decode()
    except UnicodeDecodeError:
        raise InputError(f"{shown}: is not a safetensors file: its header is not text") from None
    header = parse_object(text, shown)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(f"{shown}: {METADATA} is not an object of texts")
    body = memoryview(data)[8 + size :]
    return {name: _array(shown, name, entry, body) for name, entry in header.items()}, metadata


def _array(shown: str, name: str, entry: object, body: memoryview) -> npt.NDArray[Any]:
    where = f"{shown}: {plain(name, 60)}"
    match entry:
        case {"dtype": str() as kind, "shape": list() as sizes, "data_offsets": [int() as start, int() as stop]}:
            pass
        case _:
            raise InputError(f"{where}: is not an array")
    if kind not in DTYPES:
        raise InputError(f"{where}: has the type {plain(kind, 20)}; known are {', '.join(DTYPES)}")
    if len(sizes) > MOST_AXES or not all(type(one) is int and 0 <= one <= MOST_BYTES for one in sizes):
        raise InputError(f"{where}: has a shape that is none")
    dtype = DTYPES[kind]
    if not 0 <= start <= stop <= len(body) or stop - start != math.prod(sizes) * dtype.itemsize:
        raise InputError(f"{where}: its bytes are not those of its shape, or lie outside the file")
    found: npt.NDArray[Any] = np.frombuffer(body[start:stop], dtype).reshape(sizes)
    return found
