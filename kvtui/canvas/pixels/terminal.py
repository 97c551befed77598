"""What a terminal can draw: the questions that it is asked, how its answers are told from keys, and what they mean.

A terminal answers in the order in which it is asked, and every terminal answers the last question: what came before
that is all there is to come. One that draws pictures is asked nothing else, and nobody waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Protocol = Literal["kitty", "iterm2", "sixel"]

PROTOCOLS: tuple[Protocol, ...] = ("kitty", "iterm2", "sixel")
QUESTIONS = (
    "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"  # would it take a picture of kitty's protocol
    "\x1b[>q"  # its name and version
    "\x1b[16t"  # the pixels of a cell
    "\x1b[?1;1;0S"  # how many colours of sixel
    "\x1b[?2;1;0S"  # the largest sixel picture
    "\x1b[c"  # its attributes, 4 among them for sixel
)
ANSWER = re.compile(r"\x1b_G[^\x1b]*\x1b\\|\x1bP>\|[^\x1b]*\x1b\\|\x1b\[\?[\d;]*[cS]|\x1b\[6;\d+;\d+t")
"""One answer, which no key is sent as."""

BEGINNING = re.compile(r"\x1b(?:_G[^\x1b]{0,200}\x1b?|P>[^\x1b]{0,200}\x1b?|\[\?[\d;]{0,60}|\[6(?:;[\d;]{0,20})?)\Z")
"""What may be the first part of an answer, at the end of what was read."""

USUAL_CELL = 8, 16
MOST_COLORS = 256
_DEAF = ("linux", "dumb")
_NESTED = ("TMUX", "STY")
_INLINE_IMAGES = ("iterm2", "wezterm", "mintty", "rio")
_INLINE_PROGRAMS = {"TERM_PROGRAM": ("iTerm.app", "WezTerm", "mintty", "rio"), "LC_TERMINAL": ("iTerm2",)}
_LAST = re.compile(r"\x1b\[\?([\d;]*)c")
_SIXEL = "4"


class Graphics(NamedTuple):
    """The ``protocol`` of a terminal's pictures, None without one, and the width and height of its cells in pixels.

    ``colors`` and ``largest`` (width, height) are the bounds of a sixel picture; ``name`` is what it calls itself.
    """

    protocol: Protocol | None = None
    cell: tuple[int, int] = USUAL_CELL
    colors: int = MOST_COLORS
    largest: tuple[int, int] | None = None
    name: str = ""


NO_GRAPHICS = Graphics()


def is_asked(environ: Mapping[str, str]) -> bool:
    """Whether the terminal can be asked: some write what they do not understand on the screen.

    tmux and screen take kitty's question for the title of a window. They keep the picture of a program apart from its
    text, and of a picture with text on it what is left are a few rows: inside them nothing is drawn in pixels.
    """
    nested = any(environ.get(name) for name in _NESTED)
    return not nested and environ.get("TERM", "") not in _DEAF and environ.get("TERM_PROGRAM") != "Apple_Terminal"


def is_last(answer: str) -> bool:
    """Whether it is the answer to the last question."""
    return _LAST.fullmatch(answer) is not None


def understood(answers: Sequence[str], environ: Mapping[str, str], cell: tuple[int, int] | None = None) -> Graphics:
    """What a terminal can that gave ``answers``; ``cell`` is the size of a cell where the system knows it."""
    attributes: tuple[str, ...] = ()
    takes_kitty, name, colors, largest = False, "", MOST_COLORS, None
    for answer in answers:
        if answer.startswith("\x1b_G"):
            takes_kitty = answer.endswith(";OK\x1b\\")
        elif answer.startswith("\x1bP>|"):
            name = answer[4:-2]
        elif found := re.fullmatch(r"\x1b\[6;(\d+);(\d+)t", answer):
            cell = int(found[2]) or USUAL_CELL[0], int(found[1]) or USUAL_CELL[1]
        elif found := re.fullmatch(r"\x1b\[\?1;0;(\d+)S", answer):
            colors = min(MOST_COLORS, int(found[1]))
        elif found := re.fullmatch(r"\x1b\[\?2;0;(\d+);(\d+)S", answer):
            largest = int(found[1]), int(found[2])
        elif found := _LAST.fullmatch(answer):
            attributes = tuple(found[1].split(";"))
    hints = is_asked(environ) and any(environ.get(variable) in names for variable, names in _INLINE_PROGRAMS.items())
    inline = hints or name.casefold().startswith(_INLINE_IMAGES)
    protocol: Protocol | None = None
    if takes_kitty:
        protocol = "kitty"
    elif inline:
        protocol = "iterm2"
    elif _SIXEL in attributes and cell is not None and colors >= 2:
        protocol = "sixel"
    return Graphics(protocol, cell or USUAL_CELL, colors, largest, name)
