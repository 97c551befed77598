"""Reading a PNG file that another program drew: https://www.w3.org/TR/png/. Eight bits a channel, not interlaced."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from kvtui.engine.basis.errors import InputError

_CHANNELS = {2: 3, 6: 4}
_AVERAGE = 3


def colors_of(file: bytes) -> npt.NDArray[np.uint8]:
    """Red, green and blue of the pixels (height, width, 3). Raises InputError for what no drawing of ours is."""
    head, data, place = b"", b"", 8
    while place + 8 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, place)
        content = file[place + 8 : place + 8 + length]
        head, data = (content if kind == b"IHDR" else head), (data + content if kind == b"IDAT" else data)
        place += length + 12
    width, height, bits, kind_of_color, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    channels = _CHANNELS.get(kind_of_color)
    if bits != 8 or interlaced or channels is None:
        raise InputError(f"png: {bits} bits of kind {kind_of_color} are not read")
    rows = np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height + 1, width, channels), dtype=np.uint8)
    for number, row in enumerate(rows):
        image[number + 1] = _unfiltered(int(row[0]), row[1:].reshape(width, channels), image[number])
    return image[1:, :, :3]


def _unfiltered(
    kind: int, row: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8] | list[list[int]]:
    """A row as it was before its filter put differences to its neighbours in its place."""
    match kind:
        case 0:
            return row
        case 1:
            return np.cumsum(row, axis=0, dtype=np.uint8)
        case 2:
            return row + above
    predict = _middle if kind == _AVERAGE else _nearest
    left, corner, found = [0] * row.shape[1], [0] * row.shape[1], []
    for change, up in zip(row.tolist(), above.tolist(), strict=True):
        left = [c + predict(a, b, d) & 255 for c, a, b, d in zip(change, left, up, corner, strict=True)]
        corner = up
        found.append(left)
    return found


def _middle(left: int, up: int, _: int) -> int:
    return (left + up) // 2


def _nearest(left: int, up: int, corner: int) -> int:
    """That of the three which ``left + up - corner`` is nearest to."""
    away = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if away[0] <= away[1] and away[0] <= away[2]:
        return left
    return up if away[1] <= away[2] else corner
