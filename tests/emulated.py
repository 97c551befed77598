"""The screen of a terminal with pictures, as far as it shows which cells have one, and what it answers when asked."""

from __future__ import annotations

import re
from base64 import b64decode

import numpy as np

CELL = 9, 17
ANSWERS = {
    "\x1b[16t": f"\x1b[6;{CELL[1]};{CELL[0]}t",
    "\x1b[?1;1;0S": "\x1b[?1;0;256S",
    "\x1b[?2;1;0S": "\x1b[?2;0;4000;4000S",
}
SPEAKING = {
    "kitty": {"\x1b[>q": "\x1bP>|kitty(0.32.0)\x1b\\", "\x1b[c": "\x1b[?62;c"},
    "iterm2": {"\x1b[>q": "\x1bP>|iTerm2 3.5.4\x1b\\", "\x1b[c": "\x1b[?62;c"},
    "sixel": {"\x1b[>q": "\x1bP>|XTerm(379)\x1b\\", "\x1b[c": "\x1b[?63;4;22c"},
    "": {"\x1b[c": "\x1b[?1;2c"},
}
_TOKEN = re.compile(
    r"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\|\x1bP(?P<dcs>[^\x1b]*)\x1b\\|\x1b\](?P<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|\x1b\[(?P<csi>[<=>?]?[\d;:]*[ $]?[@-~])|\x1b[()][A-Z0-9]|\x1b[=>78]|(?P<text>[^\x1b]+)"
)
_COMMAND = re.compile(r"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\")
_TEXT, _PICTURE = 0, 1


def kitty_commands(text: str) -> list[tuple[str, str]]:
    """The keys and the data of each of kitty's graphics commands."""
    return _COMMAND.findall(text)


def decoded_sixel(text: str) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """Percent of red, green and blue of each pixel of a sixel picture; −1 where it sets none."""
    body = text.removeprefix("\x1bP").removesuffix("\x1b\\").partition("q")[2]
    raster = re.match(r'"1;1;(\d+);(\d+)', body)
    assert raster is not None
    width, height = int(raster[1]), int(raster[2])
    shown = np.full((-(-height // 6) * 6, width, 3), -1.0)
    colors: dict[int, tuple[int, ...]] = {}
    x = y = color = 0
    for token in re.finditer(r"#(\d+)((?:;\d+){4})?|!(\d+)([?-~])|([?-~])|([$-])", body[raster.end() :]):
        if token[1]:
            color = int(token[1])
            if token[2]:
                colors[color] = tuple(map(int, token[2].split(";")[2:]))
        elif token[6] == "$":
            x = 0
        elif token[6] == "-":
            x, y = 0, y + 6
        else:
            count, mask = int(token[3] or 1), ord(token[4] or token[5]) - 63
            for row in range(6):
                if mask >> row & 1:
                    shown[y + row, x : x + count] = colors[color]
            x += count
    return shown


class EmulatedScreen:
    """Takes what an app writes and knows which cells have a picture now; ``protocol`` is the one it speaks.

    Pictures of kitty's lie over the text until they are deleted; any other is gone where text is written.
    """

    def __init__(self, protocol: str, columns: int, rows: int) -> None:
        self.protocol = protocol
        self.cells = np.full((rows, columns), _TEXT)
        self.letters = np.full((rows, columns), " ")
        self.placed: dict[int, tuple[int, int, int, int]] = {}
        self.sent = 0
        self._x = self._y = 0
        self._rest = ""
        self._data = ""
        self._keys: dict[str, str] = {}

    def feed(self, text: str) -> str:
        """Show ``text``, and give what the terminal answers."""
        text, answers, end = self._rest + text, [], 0
        for token in _TOKEN.finditer(text):
            if token.start() != end:
                break
            end = token.end()
            if token["kitty"] is not None:
                answers.append(self._kitty(*(token["kitty"].partition(";")[::2])))
            elif token["dcs"] is not None and token["dcs"].partition('"')[0].endswith("q"):
                self._sixel(token.group())
            elif token["osc"] is not None and token["osc"].startswith("1337;File="):
                keys = dict(pair.split("=") for pair in token["osc"][10:].partition(":")[0].split(";"))
                assert len(b64decode(token["osc"].partition(":")[2])) == int(keys["size"])
                self._fill(int(keys["width"]), int(keys["height"]))
            elif token["csi"] is not None:
                answers.append(self._csi(token.group(), token["csi"]))
            elif token["text"] is not None:
                self._write(token["text"])
        self._rest = text[end:]
        assert len(self._rest) < 10**6, self._rest[:80]
        return "".join(answers)

    def resize(self, columns: int, rows: int) -> None:
        """Take another size, with nothing on the screen but what lies over it."""
        self.cells = np.full((rows, columns), _TEXT)
        self.letters = np.full((rows, columns), " ")

    @property
    def pictures(self) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """Which cells have a picture in them or over them."""
        found: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = self.cells == _PICTURE
        for x, y, width, height in self.placed.values():
            found[y : y + height, x : x + width] = True
        return found

    def text(self) -> str:
        """The letters, one line per row."""
        return "\n".join("".join(row) for row in self.letters)

    def _kitty(self, keys: str, data: str) -> str:
        found = dict(pair.split("=") for pair in keys.split(","))
        if self.protocol != "kitty":
            return ""
        if found.get("a") == "q":
            return "\x1b_Gi=31;OK\x1b\\"
        if found.get("a") == "d":
            del self.placed[int(found["i"])]
            return ""
        self._keys, self._data = self._keys or found, self._data + data
        if found["m"] == "0":
            assert b64decode(self._data).startswith(b"\x89PNG")
            keys_of, self._keys, self._data = self._keys, {}, ""
            self.sent += 1
            self.placed[int(keys_of["i"])] = self._x, self._y, int(keys_of["c"]), int(keys_of["r"])
            assert self._y + int(keys_of["r"]) <= len(self.cells)
        return ""

    def _sixel(self, text: str) -> None:
        shape = re.search(r'"1;1;(\d+);(\d+)', text)
        assert shape is not None
        self._fill(-(-int(shape[1]) // CELL[0]), -(-int(shape[2]) // CELL[1]))

    def _fill(self, width: int, height: int) -> None:
        assert self._y + height < len(self.cells), "it would scroll"
        self.sent += 1
        here = slice(self._y, self._y + height), slice(self._x, self._x + width)
        self.cells[here], self.letters[here] = _PICTURE, " "

    def _csi(self, whole: str, csi: str) -> str:
        if csi.endswith("H"):
            row, _, column = csi[:-1].partition(";")
            self._y, self._x = int(row or 1) - 1, int(column or 1) - 1
        return (ANSWERS | SPEAKING[self.protocol]).get(whole, "")

    def _write(self, text: str) -> None:
        for letter in text:
            if letter == "\n":
                self._y, self._x = self._y + 1, 0
            elif letter == "\r":
                self._x = 0
            elif letter >= " " and self._y < len(self.cells) and self._x < self.cells.shape[1]:
                self.cells[self._y, self._x], self.letters[self._y, self._x] = _TEXT, letter
                self._x += 1
