"""The container of a GGUF file: its metadata and its list of tensors, read without trusting a number in it.

A file is, in this order (the GGUF specification, versions 2 and 3, in either byte order): the letters GGUF, the
version, the number of tensors and of metadata keys; for each key its name, the type of its value and the value; for
each tensor its name, its dimensions, its type and where its data begin; and then the data of all tensors, each padded
to ``general.alignment`` bytes (32). A text is its length in 8 bytes and its UTF-8 bytes, an array the type and number
of its elements and the elements. Value and tensor types and their block sizes are the gguf package's. For example, the
key ``llama.block_count`` with the value 32 is 8 + 17 bytes of name, 4 of type (4: uint32) and 4 of value.

Only what stands before the data is read. Every length is checked against the file's size and against the limits below
before anything is read or kept, so a hostile header costs at most ``MAX_HEADER`` bytes of memory: long texts and arrays
(a tokenizer's words, say) are passed over and only their lengths are kept.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePath
from typing import Protocol

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import open_to_read, unreadable
from kvtui.engine.basis.units import MAX_BYTES
from kvtui.engine.basis.untrusted import plain

MAX_HEADER = 2**28
MAX_KEYS = 10_000
MAX_TENSORS = 2**16
MAX_STRINGS = 2**21
MAX_KEY_BYTES = 2**16 - 1
MAX_TEXT_BYTES = 2**16
MAX_ARRAY = 4096
MAX_NUMBERS = 2**18
MAX_DIMENSIONS = 4

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Skipped:
    """A value too long to keep: of ``length`` bytes, for a text, or of ``length`` elements, for an array."""

    length: int


Scalar = int | float | bool
MetadataValue = Scalar | bytes | tuple[Scalar, ...] | Skipped


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor: ``shape`` with the contiguous dimension first, ``bytes`` as stored (block scales included).

    A matrix of 4,096 inputs and 1,024 outputs has the shape (4096, 1024); as Q4_0, which stores 32 elements in 18
    bytes, it has 4096 · 1024 / 32 · 18 bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    elements: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the tensor data.

    ``absent_bytes`` of that data are not in the file: 0 in a whole file, more in one that was not fully downloaded.
    """

    metadata: dict[str, MetadataValue]
    tensors: tuple[StoredTensor, ...]
    absent_bytes: int


class Readable(Protocol):
    """Bytes that are read from their beginning on."""

    def read(self, count: int, /) -> bytes:
        """At most the next ``count`` bytes."""


class MalformedError(ValueError):
    """The reason why a file is not a readable GGUF file."""


def read_header(path: Path) -> Header:
    """The header of the GGUF file at ``path``.

    Raises InputError, naming the file and the reason, for anything that is not a whole, well-formed header in a
    regular file.
    """
    try:
        with open_to_read(path) as file:
            return read_from(file, os.fstat(file.fileno()).st_size, path)
    except OSError as error:
        raise unreadable(path, error) from None


def read_from(file: Readable, size: int, path: PurePath) -> Header:
    """The header of a ``file`` of ``size`` bytes, called ``path``. Raises InputError as ``read_header`` does."""
    try:
        return _parse(_HeaderReader(file, size))
    except MalformedError as error:
        raise InputError(f"{plain(str(path))}: not a readable GGUF file: {plain(str(error), 200)}") from None


class _HeaderReader:
    """A place in the header. ``data`` is all of the file up to the furthest place that was asked for.

    ``order`` is the byte order as struct has it. ``strings`` and ``kept`` count the strings passed over and the numbers
    kept so far, which have limits over the whole header.
    """

    def __init__(self, file: Readable, size: int) -> None:
        self.file, self.size = file, size
        self.data = bytearray()
        self.position = 0
        self.order = "<"
        self.strings = self.kept = 0

    def skip(self, count: int) -> int:
        """Go on by ``count`` bytes, which are then in ``data``; returns where they start.

        Raises MalformedError when the file or the limit ends before they do.
        """
        start = self.position
        end = start + count
        if end > self.size:
            raise MalformedError("it ends inside its header")
        if end > MAX_HEADER:
            raise MalformedError(f"its header is larger than {MAX_HEADER >> 20} MiB")
        while len(self.data) < end:
            piece = self.file.read(min(max(end - len(self.data), 2**20, len(self.data)), MAX_HEADER))
            if not piece:
                raise MalformedError("it ends inside its header")
            self.data += piece
        self.position = end
        return start

    def numbers(self, code: str, count: int = 1) -> tuple[Scalar, ...]:
        """``count`` numbers of struct's type ``code``."""
        layout = struct.Struct(f"{self.order}{count}{code}")
        return layout.unpack_from(self.data, self.skip(layout.size))

    def unsigned(self, code: str) -> int:
        """One whole number of struct's unsigned type ``code``: "I" of 4 bytes or "Q" of 8."""
        return int(self.numbers(code)[0])

    def raw(self, most: int, what: str) -> bytes:
        """The bytes of a text of at most ``most`` bytes. Raises MalformedError, which names ``what`` it is."""
        length = self.unsigned("Q")
        if length > most:
            raise MalformedError(f"{what} is {length:,} bytes long (at most {most:,})")
        start = self.skip(length)
        return bytes(self.data[start : start + length])

    def name(self, what: str) -> str:
        """A text that must be short and UTF-8. Raises MalformedError, which names ``what`` it is."""
        raw = self.raw(MAX_KEY_BYTES, what)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise MalformedError(f"{what} is not UTF-8: {raw[:40].decode(errors='replace')}") from None

    def skip_strings(self, count: int) -> None:
        """Pass over an array of ``count`` texts, which takes a look at each length: where the next one begins.

        A tokenizer has hundreds of thousands, so that this is the one loop of the reader that is written for speed.
        """
        self.strings += count
        if self.strings > MAX_STRINGS:
            raise MalformedError(f"its metadata holds more than {MAX_STRINGS:,} strings")
        unpack = struct.Struct(f"{self.order}Q").unpack_from
        data, position = self.data, self.position
        known = len(data)
        for _ in range(count):
            if position + 8 > known:
                self.position = position
                self.skip(8)
                known = len(data)
            position += 8 + unpack(data, position)[0]
        self.position = position
        self.skip(0)

    def value(self, key: str) -> MetadataValue:
        """The value of ``key``. Long texts, long arrays and arrays of texts are skipped. Raises MalformedError."""
        kind = self.unsigned("I")
        if kind == _STRING:
            length = self.unsigned("Q")
            start = self.skip(length)
            return bytes(self.data[start : self.position]) if length <= MAX_TEXT_BYTES else Skipped(length)
        if kind == _ARRAY:
            kind, count = self.unsigned("I"), self.unsigned("Q")
            if kind == _STRING:
                self.skip_strings(count)
                return Skipped(count)
            if kind in _NUMBERS and count <= MAX_ARRAY:
                self.kept += count
                if self.kept > MAX_NUMBERS:
                    raise MalformedError(f"its short arrays hold more than {MAX_NUMBERS:,} numbers")
                return self.numbers(_NUMBERS[kind], count)
            if kind in _NUMBERS:
                self.skip(count * struct.calcsize(f"={_NUMBERS[kind]}"))
                return Skipped(count)
        if kind in _NUMBERS:
            return self.numbers(_NUMBERS[kind])[0]
        raise MalformedError(f"the value of {key} is of the unknown type {kind}")


def _parse(cursor: _HeaderReader) -> Header:
    """The header behind ``cursor``. Raises MalformedError.

    The byte order shows in the version, a small number in 4 bytes: read as little-endian, a big-endian 3 is 3 · 2**24,
    whose lower 16 bits are 0.
    """
    from gguf.constants import GGUF_DEFAULT_ALIGNMENT, GGUF_MAGIC
    from gguf.gguf_reader import READER_SUPPORTED_VERSIONS

    if cursor.size < 4 or cursor.unsigned("I") != GGUF_MAGIC:
        raise MalformedError("it does not begin with GGUF")
    version = cursor.unsigned("I")
    if version & 0xFFFF == 0:
        cursor.order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in READER_SUPPORTED_VERSIONS:
        readable = " and ".join(str(int(v)) for v in READER_SUPPORTED_VERSIONS)
        raise MalformedError(f"its version is {version} (readable are {readable})")
    tensor_count, key_count = cursor.unsigned("Q"), cursor.unsigned("Q")
    if tensor_count > MAX_TENSORS:
        raise MalformedError(f"it claims {tensor_count:,} tensors (at most {MAX_TENSORS:,})")
    if key_count > MAX_KEYS:
        raise MalformedError(f"it claims {key_count:,} metadata keys (at most {MAX_KEYS:,})")
    metadata: dict[str, MetadataValue] = {}
    for _ in range(key_count):
        key = cursor.name("a metadata key")
        if key in metadata:
            raise MalformedError(f"the key {key} appears twice")
        metadata[key] = cursor.value(key)
    alignment = metadata.get("general.alignment", GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise MalformedError("general.alignment is not a power of two")
    tensors = _tensors(cursor, tensor_count, alignment)
    absent = 0
    if tensors:
        stored = sum(_pad(tensor.bytes, alignment) for tensor in tensors[:-1]) + tensors[-1].bytes
        absent = max(0, _pad(cursor.position, alignment) + stored - cursor.size)
    return Header(metadata, tensors, absent)


def _tensors(cursor: _HeaderReader, count: int, alignment: int) -> tuple[StoredTensor, ...]:
    """The ``count`` entries of the tensor list. Raises MalformedError.

    The data lie one after the other, each padded to ``alignment``, so that every offset is known before it is read: a
    file with other offsets would hide or share data, and its size would say nothing about its weights.
    """
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    tensors: dict[str, StoredTensor] = {}
    expected = 0
    for _ in range(count):
        name = cursor.name("a tensor's name")
        if name in tensors:
            raise MalformedError(f"the tensor {name} appears twice")
        dimensions = cursor.unsigned("I")
        if dimensions > MAX_DIMENSIONS:
            raise MalformedError(f"the tensor {name} has {dimensions:,} dimensions (at most {MAX_DIMENSIONS})")
        shape = tuple(int(size) for size in cursor.numbers("Q", dimensions))
        kind = cursor.unsigned("I")
        if kind not in sizes:
            raise MalformedError(f"the tensor {name} is of the unknown type {kind}")
        type_name, block, block_bytes = sizes[kind]
        elements = prod(shape)
        if shape and shape[0] % block:
            raise MalformedError(f"the rows of the tensor {name} are no multiple of {block}, the block of {type_name}")
        offset = cursor.unsigned("Q")
        if offset != expected:
            raise MalformedError(f"the tensor {name} is at offset {offset:,} instead of {expected:,}")
        tensors[name] = StoredTensor(name, shape, type_name, elements, -(-elements // block) * block_bytes)
        expected += _pad(tensors[name].bytes, alignment)
        if expected > MAX_BYTES:
            raise MalformedError(f"its tensors are larger than {MAX_BYTES:,} bytes")
    return tuple(tensors.values())


def _pad(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
