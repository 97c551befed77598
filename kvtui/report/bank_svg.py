"""The bank picture as inline SVG: a device's memory modules, each a grid of equal banks, filled interleaved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kvtui.engine.picture.banks import FREE, bank_counts, interleave, span_bytes
from kvtui.output.markup import Markup, tag
from kvtui.report.sections import BankPicture

BANKS, WIDTH = 1600, 980
PITCH, SIDE, GAP, HEAD = 10, 8, 24, 20
MODULES_PER_ROW = ((6, 6), (8, 4), (12, 6), (16, 8), (24, 8), (32, 8))
MANY_PER_ROW = 12
PATTERNS = {
    "weights": "",
    "kv": "M-1 1L1 -1M-1 5L5 -1M3 5L5 3",
    "state": "M0 2h1.5M2 0h1.5",
    "activation": "M0 1h4",
    "overhead": "M1 0v4M0 1h4",
    "reserved_unused": "M-1 3L3 -1M1 5L5 1",
    "pool_free": "M0 3h2",
}


@dataclass(frozen=True, slots=True)
class ModuleGrid:
    """Modules in rows of ``per_row``, each of ``columns`` × ``rows`` banks."""

    modules: int
    per_row: int
    columns: int
    rows: int

    @property
    def banks(self) -> int:
        """Banks of all modules."""
        return self.modules * self.columns * self.rows

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        lines = -(-self.modules // self.per_row)
        wide = self.per_row * (self.columns * PITCH + GAP) - GAP
        return wide, lines * (self.rows * PITCH + HEAD + GAP) - GAP

    def place(self, module: int) -> tuple[int, int]:
        """Left and top of a module."""
        row, column = divmod(module, self.per_row)
        return column * (self.columns * PITCH + GAP), row * (self.rows * PITCH + HEAD + GAP)


def layout(modules: int) -> ModuleGrid:
    """A layout of about BANKS banks for that many modules, near WIDTH wide."""
    per_row = next((columns for most, columns in MODULES_PER_ROW if modules <= most), MANY_PER_ROW)
    per_row = min(modules, per_row)
    columns = max(4, ((WIDTH + GAP) // per_row - GAP) // PITCH)
    return ModuleGrid(modules, per_row, columns, max(3, round(BANKS / modules / columns)))


def picture(
    drawn: BankPicture, modules: int, kind: str, title: str, description: str, words: Mapping[str, str]
) -> Markup:
    """The picture of ``drawn`` over ``modules`` of memory ``kind``; banks beyond the room are hatched red.

    ``words`` say of each part, of what is free and of what is ``over`` what is under the pointer.
    """
    plan = layout(modules)
    span = span_bytes(drawn.parts, drawn.capacity)
    dealt = interleave(bank_counts(drawn.parts, drawn.capacity, plan.banks), modules)
    held = plan.banks * drawn.capacity // span
    wide, high = plan.size
    titles = [f"{kind} {module + 1}" if modules > 1 else kind for module in range(modules)]
    groups = [
        tag(
            "g",
            tag("text", titles[module], class_="module", x=0, y=12),
            _module(plan, names, max(0, -(-(held - module) // modules)), words),
            transform="translate({},{})".format(*plan.place(module)),
            data_module=titles[module],
            data_columns=plan.columns,
        )
        for module, names in enumerate(dealt)
    ]
    return tag(
        "svg",
        tag("title", title, id="picture-title"),
        tag("desc", description, id="picture-description"),
        tag("defs", _patterns()),
        groups,
        viewBox=f"0 0 {wide} {high}",
        role="img",
        aria_labelledby="picture-title picture-description",
        data_pitch=PITCH,
        data_head=HEAD,
    )


def swatch(key: str) -> Markup:
    """A small square as ``key`` looks in the picture, for legends and tables."""
    look = {"class_": FREE} if key == FREE else {"fill": f"url(#p-{key})"}
    square = tag("rect", x=1, y=1, width=10, height=10, **look)
    return tag("svg", square, class_="swatch", viewBox="0 0 12 12", aria_hidden="true")


def _patterns() -> Iterator[Markup]:
    for key, grain in PATTERNS.items():
        name = key.partition("_")[0]
        yield tag(
            "pattern",
            tag("rect", class_=f"c-{name}", width=4, height=4),
            tag("path", class_="grain-reserved" if name == "reserved" else "grain", d=grain) if grain else "",
            id=f"p-{key}",
            width=4,
            height=4,
            patternUnits="userSpaceOnUse",
        )
    yield tag(
        "pattern",
        tag("rect", class_="wash", width=4, height=4),
        tag("path", class_="hatch", d="M-1 3L3 -1M1 5L5 1"),
        id="p-over",
        width=4,
        height=4,
        patternUnits="userSpaceOnUse",
    )


def _module(plan: ModuleGrid, names: list[str], held: int, words: Mapping[str, str]) -> Iterator[Markup]:
    """One path per part, and one over the banks from ``held`` on, with their ``words``."""
    for key in dict.fromkeys(names):
        path = _path(plan, [i for i, name in enumerate(names) if name == key])
        look = {"class_": FREE} if key == FREE else {"fill": f"url(#p-{key})"}
        yield tag("path", tag("title", words.get(key, key)), d=path, **look)
    if held < len(names):
        beyond = _path(plan, list(range(held, len(names))))
        yield tag("path", tag("title", words["over"]), d=beyond, fill="url(#p-over)", class_="edge")


def _path(plan: ModuleGrid, banks: list[int]) -> str:
    squares = []
    for bank in banks:
        row, column = divmod(bank, plan.columns)
        squares.append(f"M{column * PITCH + 1} {HEAD + row * PITCH + 1}h{SIDE}v{SIDE}h-{SIDE}z")
    return "".join(squares)
