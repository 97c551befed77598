"""``kvtui plot``: draw what a file, a run or a scenario shows, in the terminal or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kvtui.canvas.palette import Look
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Figure
from kvtui.figures.files import to_csv, to_json
from kvtui.plots import image
from kvtui.plots.draw import render_text
from kvtui.plots.read import read

if TYPE_CHECKING:
    import argparse

    from rich.color import ColorSystem

NO_BACKEND = 3
MOST_SIZE = 1000
_WRITERS: dict[str, Callable[[Figure], str]] = {"csv": to_csv, "json": to_json}
FORMATS = ("txt", *_WRITERS, *image.FORMATS)


def plot(args: argparse.Namespace, width: int, color: bool, ascii_only: bool, write: Callable[[str], None]) -> int:
    """Do what ``args`` ask and return the exit code; text goes to ``write``.

    ``width`` is the terminal's. Raises InputError for what cannot be read or drawn, OSError for what cannot be written.
    """
    width = width if args.width is None else parse_count(args.width, "--width", MOST_SIZE)
    height = None if args.height is None else parse_count(args.height, "--height", MOST_SIZE)
    _form(args.output)
    if args.source is None:
        figures = _planned(args)
    else:
        if args.set or args.beside:
            raise InputError("plot: --set and --beside are for the figures of a scenario, which need no file")
        figures = _chosen(read(Path(args.source)), args.figure)
    if args.list:
        write("".join(f"{figure.id:<24}{figure.question or figure.title}\n" for figure in figures.values()))
        return 0
    return put(list(figures.values()), args.output, write, width, height, color=color, ascii_only=ascii_only)


def _planned(args: argparse.Namespace) -> dict[str, Figure]:
    """The figures of the catalogue that need no file: of the scenario that the options describe, or of made-up shapes.

    Raises InputError for a figure of a run, and for parameters that the figure does not have.
    """
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.engine.sources.load import load_model
    from kvtui.figures.catalogue import ENTRIES, build, find_entry, parse_values

    if not args.figure and not args.list:
        raise InputError("plot: give a folder or a file, or --figure ID of a scenario's figures (--list names them)")
    drawable = [entry for entry in ENTRIES if entry.source != "run"]
    chosen = [find_entry(name) for name in args.figure] if args.figure else drawable
    for entry in chosen:
        if entry.source == "run":
            raise InputError(f"{entry.id}: is drawn from a run: kvtui plot FOLDER --figure {entry.id}")
    if args.list:
        return {entry.id: Figure(entry.id, entry.title, entry.question, ()) for entry in chosen}
    texts = dict(_pair(text) for text in args.set or ())
    values = vars(args)
    scenario = scenario_from({option.key: values[option.key] for option in OPTIONS})
    models = (scenario.model, *map(load_model, args.beside or ()))
    return {
        entry.id: build(entry, scenario=scenario, models=models, values=parse_values(entry, texts)) for entry in chosen
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"set: '{plain(text)}' is not NAME=VALUE")
    return name.strip(), value


def put(
    figures: Sequence[Figure],
    output: str | None,
    write: Callable[[str], None],
    width: int,
    height: int | None = None,
    *,
    color: bool = False,
    ascii_only: bool = False,
) -> int:
    """Give ``figures`` as text to ``write``, or write them to the file ``output`` by its ending; the exit code.

    Raises InputError for an ending that none of FORMATS has, OSError for what cannot be written.
    """
    form = _form(output)
    if output is None or output == "-":
        system = _system() if color else None
        look = _look()
        drawn = (render_text(f, width, height, system=system, look=look, ascii_only=ascii_only) for f in figures)
        write("\n".join(drawn))
        return 0
    target = Path(output)
    try:
        for figure in figures:
            path = target if len(figures) == 1 else target.with_stem(f"{target.stem}-{_file_name(figure.id)}")
            write_whole(path, _content(figure, form, width, height, ascii_only))
            if len(figures) > 1:
                print(f"kvtui: wrote {plain(str(path))}", file=sys.stderr)
    except image.NotInstalled as error:
        print(f"kvtui: {error}", file=sys.stderr)
        return NO_BACKEND
    return 0


def _form(output: str | None) -> str:
    """The file format of ``output``; txt for the terminal."""
    if output is None or output == "-":
        return "txt"
    form = Path(output).suffix.lstrip(".").casefold()
    if form not in FORMATS:
        raise UnknownName("file format", form, FORMATS) if form else InputError(f"--output: needs one of {_endings()}")
    return form


def _content(figure: Figure, form: str, width: int, height: int | None, ascii_only: bool) -> str | bytes:
    if form == "txt":
        return render_text(figure, width, height, ascii_only=ascii_only)
    return _WRITERS[form](figure) if form in _WRITERS else image.render(figure, form)


def _chosen(found: Mapping[str, Figure], names: list[str] | None) -> dict[str, Figure]:
    for name in names or ():
        if name not in found:
            raise UnknownName("figure", name, found)
    return {name: found[name] for name in names} if names else dict(found)


def _endings() -> str:
    return ", ".join(f".{form}" for form in FORMATS)


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:80]


def _system() -> ColorSystem:
    """The colours that this process's terminal shows."""
    from rich.color import ColorSystem
    from rich.console import Console

    found = Console(force_terminal=True).color_system
    systems = {"truecolor": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT}
    return systems.get(found or "", ColorSystem.STANDARD)


def _look() -> Look:
    """Light where the terminal says that its background is (COLORFGBG), otherwise dark."""
    return "light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in {"7", "15"} else "dark"
