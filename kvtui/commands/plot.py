"""``kvtui plot``: draw what a file, a run or a scenario shows, in the terminal or into a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kvtui.bench import figures as runs
from kvtui.canvas.palette import Look
from kvtui.commands.answer import Answer
from kvtui.commands.narration import say
from kvtui.commands.parser import add_output, add_scenario
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain
from kvtui.figures import files
from kvtui.figures.csv import to_csv
from kvtui.figures.figure import Figure
from kvtui.figures.json import to_json
from kvtui.plots import image, vector
from kvtui.plots.draw import render_text
from kvtui.plots.installed import NotInstalled
from kvtui.plots.png import png

if TYPE_CHECKING:
    import argparse

    from rich.color import ColorSystem

NO_BACKEND = 3
MOST_SIZE = 1000
_WRITERS: dict[str, Callable[[Figure], str | bytes]] = {
    "csv": to_csv,
    "json": to_json,
    "svg": vector.render,
    "png": lambda figure: png(vector.render(figure)),
    "pdf": image.render,
}
FORMATS = ("txt", *_WRITERS)


def add(parser: argparse.ArgumentParser) -> None:
    """What to draw, of which scenario, and where."""
    parser.description = (
        "Draw what a file holds: a benchmark's results, a figure exported as JSON or CSV, or any CSV with columns of "
        "numbers, the first of them x. Without a file, draw a scenario's figures (--list names them)."
    )
    parser.add_argument("source", metavar="DIR|FILE", nargs="?", help="a results folder, or a CSV or JSON file")
    parser.add_argument("--figure", nargs="+", metavar="ID", help="these figures; without DIR|FILE those of a scenario")
    parser.add_argument("--card", action="store_true", help="a slide of a scenario: verdict, memory, frontier, fixes")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", help="parameters of a scenario's figure")
    parser.add_argument("--beside", nargs="+", metavar="MODEL", help="up to three more models in a scenario's figure")
    parser.add_argument("--list", action="store_true", help="print the figures with what they ask")
    parser.add_argument("--width", metavar="N", help="cells across (default: the terminal's)")
    parser.add_argument("--height", metavar="N", help="rows (default: as many as the figure needs)")
    add_scenario(parser)
    add_output(parser, "write to FILE: .txt, .csv, .json, .svg; .png with resvg, .pdf with matplotlib")


def run(args: argparse.Namespace) -> int:
    """Draw what was asked for, or list it, and return the exit code.

    Raises InputError for what cannot be read or drawn, OSError for what cannot be written.
    """
    answer = Answer(args)
    width = None if args.width is None else parse_count(args.width, "--width", MOST_SIZE)
    height = None if args.height is None else parse_count(args.height, "--height", MOST_SIZE)
    _form(answer.output)
    if args.card:
        return _card(args, answer)
    if args.source is None:
        figures = _planned(args)
    else:
        if args.set or args.beside:
            raise InputError("plot: --set and --beside are for the figures of a scenario, which need no file")
        source = Path(args.source)
        figures = _chosen(runs.read(source) if source.is_dir() else files.read(source), args.figure)
    if args.list:
        answer.write("".join(f"{figure.id:<24}{figure.question or figure.title}\n" for figure in figures.values()))
        return 0
    return put(list(figures.values()), answer, width, height)


def _card(args: argparse.Namespace, answer: Answer) -> int:
    """Write the slide of the scenario that the options describe. Raises InputError beside files or figures."""
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.plots.card import card

    if args.source or args.figure or args.beside or args.set:
        raise InputError("plot: --card is a slide of one scenario, without files and figures")
    form = "svg" if answer.output is None else _form(answer.output)
    if form not in ("svg", "png"):
        raise InputError("plot: a slide is an .svg or a .png file")
    values = vars(args)
    slide = card(scenario_from({option.key: values[option.key] for option in OPTIONS}))
    if answer.output is None or form == "svg":
        answer.write(slide)
        return 0
    try:
        write_whole(Path(answer.output), png(slide))
    except NotInstalled as error:
        say(str(error))
        return NO_BACKEND
    return 0


def _planned(args: argparse.Namespace) -> dict[str, Figure]:
    """The figures of the catalogue that need no file: of the scenario that the options describe, or of made-up shapes.

    Those of trained models are drawn from one's own where there are some, else from what came with kvtui.

    Raises InputError for a figure of a run, and for parameters that the figure does not have.
    """
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.engine.sources.load import load_model
    from kvtui.figures.catalogue import COMES_WITH_KVTUI, ENTRIES, build, find_entry, parse_values

    if not args.figure and not args.list:
        raise InputError("plot: give a folder or a file, or --figure ID of a scenario's figures (--list names them)")
    drawable = [entry for entry in ENTRIES if entry.source != "run" or entry.reads in COMES_WITH_KVTUI]
    chosen = [find_entry(name) for name in args.figure] if args.figure else drawable
    for entry in chosen:
        if entry not in drawable:
            raise InputError(f"{entry.id}: is drawn from a run: kvtui plot FOLDER --figure {entry.id}")
    if args.list:
        return {entry.id: Figure(entry.id, entry.title, entry.question, ()) for entry in chosen}
    texts = dict(_pair(text) for text in args.set or ())
    values = vars(args)
    scenario = scenario_from({option.key: values[option.key] for option in OPTIONS})
    models = (scenario.model, *map(load_model, args.beside or ()))
    return {
        entry.id: runs.newest(entry)
        if entry.source == "run"
        else build(entry, scenario=scenario, models=models, values=parse_values(entry, texts))
        for entry in chosen
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"set: '{plain(text)}' is not NAME=VALUE")
    return name.strip(), value


def put(figures: Sequence[Figure], answer: Answer, width: int | None = None, height: int | None = None) -> int:
    """Write ``figures`` where ``answer`` goes: as text to stdout, or to its file by the file's ending; the exit code.

    ``width`` is the answer's unless it is given. Raises InputError for an ending that none of FORMATS has, OSError for
    what cannot be written.
    """
    form, width = _form(answer.output), width or answer.width
    if answer.output is None:
        answer.write(draw(figures, width, answer.color, answer.ascii_only, height))
        return 0
    target = Path(answer.output)
    try:
        for figure in figures:
            path = target if len(figures) == 1 else target.with_stem(f"{target.stem}-{_file_name(figure.id)}")
            write_whole(path, _content(figure, form, width, height, answer.ascii_only))
            if len(figures) > 1:
                say(f"wrote {path}")
    except NotInstalled as error:
        say(str(error))
        return NO_BACKEND
    return 0


def draw(
    figures: Sequence[Figure], width: int, color: bool = False, ascii_only: bool = False, height: int | None = None
) -> str:
    """``figures`` as text, one under the other."""
    system, look = _system() if color else None, _look()
    return "\n".join(render_text(f, width, height, system=system, look=look, ascii_only=ascii_only) for f in figures)


def _form(output: str | None) -> str:
    """The file format of ``output``; txt for the terminal."""
    if output is None:
        return "txt"
    form = Path(output).suffix.lstrip(".").casefold()
    if form not in FORMATS:
        raise UnknownName("file format", form, FORMATS) if form else InputError(f"--output: needs one of {_endings()}")
    return form


def _content(figure: Figure, form: str, width: int, height: int | None, ascii_only: bool) -> str | bytes:
    if form == "txt":
        return render_text(figure, width, height, ascii_only=ascii_only)
    return _WRITERS[form](figure)


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
