"""The graphics protocol of kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/.

A picture has a number and stays where it is, over whatever is written there, until it is deleted by its number.
Pictures under the text would need no holes for it; kitty 0.26 draws the rest of the screen wrong beside them.
"""

from __future__ import annotations

from base64 import b64encode

CHUNK = 4096
"""Characters of data in one command at most."""


def place(png: bytes, number: int, columns: int, rows: int) -> str:
    """A PNG file as picture ``number`` in ``columns`` × ``rows`` cells from the cursor on, over the text there.

    The cursor stays, and the terminal does not answer.
    """
    keys = f"a=T,f=100,t=d,q=2,i={number},p=1,c={columns},r={rows},C=1,"
    data = b64encode(png).decode("ascii")
    parts = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    found = []
    for index, part in enumerate(parts):
        found.append(f"\x1b_G{keys if not index else 'q=2,'}m={int(index < len(parts) - 1)};{part}\x1b\\")
    return "".join(found)


def delete(number: int) -> str:
    """Take picture ``number`` away, and its data."""
    return f"\x1b_Ga=d,d=I,q=2,i={number}\x1b\\"
