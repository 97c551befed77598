"""A picture in pixels, each a number in a table of colours: what is sent to a terminal, or written as PNG."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kvtui.canvas.palette import Ink, Look, hex_color

ColorNumbers = npt.NDArray[np.uint8]
PixelInks = npt.NDArray[np.uint16]
CellMask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

MOST_COLORS = 256
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3


class Raster(NamedTuple):
    """``height`` × ``width`` pixels: numbers of the rows of ``colors`` (n, 3), red, green and blue of 255.

    Where it has ``holes``, pixels of the last colour are none.
    """

    pixels: ColorNumbers
    colors: ColorNumbers
    holes: bool = False

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.pixels.shape[0])


def raster(inks: PixelInks, look: Look, ground: str, most: int = MOST_COLORS) -> Raster:
    """Inks as colours, what has no ink in that of the ``ground`` (``#rrggbb``).

    Of more than ``most`` colours those are kept that leave the picture most as it is; the others become the nearest.
    """
    counts = np.bincount(inks.ravel())
    used = np.flatnonzero(counts)
    names = [ground if ink == Ink.NONE else hex_color(ink, look) for ink in used.tolist()]
    wanted = np.array([tuple(bytes.fromhex(name[1:])) for name in names], dtype=np.int64)
    colors, number = np.unique(wanted, axis=0, return_inverse=True)
    kept, nearest = _fewer(colors, np.bincount(number.ravel(), weights=counts[used]), most)
    table = np.zeros(counts.size, dtype=np.uint8)
    table[used] = nearest[number.ravel()]
    return Raster(table[inks], kept)


def raster_of_colors(image: ColorNumbers, most: int = MOST_COLORS) -> Raster:
    """Pixels of red, green and blue (height, width, 3) with at most so many colours, as ``raster`` chooses them."""
    packed = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    values, number, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colors = (values[:, None] >> np.array([16, 8, 0], dtype=np.uint32) & 255).astype(np.int64)
    kept, nearest = _fewer(colors, counts, most)
    return Raster(nearest[number].reshape(packed.shape), kept)


def _fewer(colors: Counts, counts: npt.ArrayLike, most: int) -> tuple[ColorNumbers, ColorNumbers]:
    """At most so many of ``colors`` (n, 3), and which of them is the nearest to each of all."""
    kept = np.arange(len(colors)) if len(colors) <= most else _chosen(colors, counts, most)
    away = ((colors[:, None] - colors[kept][None]) ** 2).sum(axis=2)
    return colors[kept].astype(np.uint8), away.argmin(axis=1).astype(np.uint8)


def _chosen(colors: Counts, counts: npt.ArrayLike, most: int) -> Counts:
    """The numbers of ``most`` of ``colors``: always the next that is farthest from those chosen, and much seen.

    How much it is seen counts by its root: a small surface before a large wall keeps colours of its own.
    """
    seen = np.sqrt(np.asarray(counts, dtype=np.float64))
    chosen = [int(seen.argmax())]
    away = np.full(len(colors), np.inf)
    while len(chosen) < most:
        away = np.minimum(away, ((colors - colors[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int((away * seen).argmax()))
    return np.sort(np.array(chosen))


def with_holes(picture: Raster, cells: CellMask) -> Raster:
    """``picture`` without what lies over those of its ``cells`` (rows, columns); one of 256 colours loses the last."""
    colors = np.concatenate((picture.colors[: MOST_COLORS - 1], np.zeros((1, 3), dtype=np.uint8)))
    rows = np.arange(picture.height) * cells.shape[0] // picture.height
    columns = np.arange(picture.width) * cells.shape[1] // picture.width
    hole = cells[rows[:, None], columns[None, :]]
    kept = np.minimum(picture.pixels, len(colors) - 2)
    return Raster(np.where(hole, len(colors) - 1, kept).astype(np.uint8), colors, holes=True)


def enlarged(picture: Raster, width: int, height: int, pixel: tuple[float, float]) -> Raster:
    """``picture`` in ``width`` × ``height`` pixels, each of its own as wide and high as ``pixel`` says."""
    columns = np.minimum((np.arange(width) + 0.5) / pixel[0], picture.width - 1).astype(np.int64)
    rows = np.minimum((np.arange(height) + 0.5) / pixel[1], picture.height - 1).astype(np.int64)
    return picture._replace(pixels=picture.pixels[rows[:, None], columns[None, :]])


def png(picture: Raster, level: int = 6) -> bytes:
    """``picture`` as a PNG file of indexed colours."""
    bits = next(bits for bits in (1, 2, 4, 8) if len(picture.colors) <= 1 << bits)
    head = struct.pack(">IIBBBBB", picture.width, picture.height, bits, _INDEXED, 0, 0, 0)
    rows = np.zeros((picture.height, 1 + -(-picture.width * bits // 8)), dtype=np.uint8)
    rows[:, 1:] = _packed(picture.pixels, bits)
    data = zlib.compress(rows.tobytes(), level)
    clear = b"\xff" * (len(picture.colors) - 1) + b"\0" if picture.holes else b""
    parts = [(b"IHDR", head), (b"PLTE", picture.colors.tobytes()), (b"tRNS", clear), (b"IDAT", data), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in parts if content or kind == b"IEND")


def _packed(pixels: ColorNumbers, bits: int) -> ColorNumbers:
    """Rows of pixels of so many ``bits`` as whole bytes, the leftmost pixel in the highest bits."""
    if bits == 8:
        return pixels
    each = 8 // bits
    height, width = pixels.shape
    padded = np.zeros((height, -(-width // each) * each), dtype=np.uint8)
    padded[:, :width] = pixels
    shifts = np.arange(each - 1, -1, -1, dtype=np.uint8) * np.uint8(bits)
    packed: ColorNumbers = np.bitwise_or.reduce(padded.reshape(height, -1, each) << shifts, axis=2)
    return packed


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
