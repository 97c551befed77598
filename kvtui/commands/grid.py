"""``kvtui grid``: what fits where, for the whole catalogue at once, on all cores or on a Dask cluster.

A line of the table is worked out at a time: a model on all devices, or a format of the scenario's model on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose

if TYPE_CHECKING:
    import argparse

    from kvtui.engine.advice.matrix import MatrixSubject
    from kvtui.engine.scenario.scenario import Scenario

WHAT = ("models", "kv", "weights")
INTERRUPTED = 130


class GridLine(NamedTuple):
    """A line of the table of ``what``: the model or format ``name`` on ``devices``."""

    what: MatrixSubject
    name: str
    devices: tuple[str, ...]


def add(parser: argparse.ArgumentParser) -> None:
    """Which table, which part of it, and the scenario."""
    parser.description = "What fits where: a row for each model (or format) on each device, as the scenario has it."
    parser.add_argument("what", nargs="?", default="models", help="models (default), kv or weights: formats on devices")
    parser.add_argument("--models", metavar="WORDS", help="only models with these words in their names")
    parser.add_argument("--devices", metavar="WORDS", help="only devices found by these words")
    parser.add_argument("--dask", metavar="ADDRESS", help="work it out on a Dask cluster, such as tcp://host:8786")
    add_table(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table; after Ctrl-C what was worked out until then.

    Raises InputError for what is wrong or not there, and OSError when the table cannot be written.
    """
    from kvtui.commands.jobs import worked_out
    from kvtui.commands.narration import say
    from kvtui.engine.advice.matrix import BEST_FORMAT
    from kvtui.engine.basis.errors import InputError
    from kvtui.engine.basis.units import counted
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.output import table as output
    from kvtui.report.matrix import columns

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    choose("table", args.what, WHAT)
    if args.models is not None and args.what != "models":
        raise InputError(f"--models: the table of {args.what} is of one model, --model")
    scenario = scenario_from(vars(args))
    lines = list(_lines(scenario, args.what, args.models, args.devices))
    done: dict[GridLine, list[dict[str, object]]] = {}
    stopped = False
    try:
        done.update(worked_out(cells, lines, scenario, args.dask))
    except KeyboardInterrupt:
        stopped = True
        say(f"interrupted; {len(done)} of {counted(len(lines), 'line')} were worked out")
    found = [row for line in lines for row in done.get(line, ())]
    shown = [column for column in columns() if column.key != BEST_FORMAT.key]
    answer.write(output.render(shown, found, args.format, answer.width, answer.color, answer.ascii_only))
    return INTERRUPTED if stopped else 0


def cells(line: GridLine, scenario: Scenario) -> list[dict[str, object]]:
    """The rows of a line of the table around ``scenario``. Raises UnknownName where the catalogue here differs."""
    from kvtui.engine.advice.matrix import Piece, evaluate, places, table
    from kvtui.engine.basis.errors import UnknownName
    from kvtui.report.matrix import cell_row

    found = table(scenario, line.what)
    names = found.rows if line.what == "models" else found.formats
    devices = [device.name for device in found.devices]
    for wanted, known in ((line.name, names), *((name, devices) for name in line.devices)):
        if wanted not in known:
            raise UnknownName("catalogue", wanted, known)
    piece = Piece(names.index(line.name), tuple(devices.index(name) for name in line.devices))
    answers = evaluate(found, piece)
    return [cell_row(found, *place, answer) for place, answer in zip(places(found, piece), answers, strict=True)]


def _lines(scenario: Scenario, what: MatrixSubject, models: str | None, devices: str | None) -> Iterator[GridLine]:
    """All lines. Raises UnknownName for words that find nothing."""
    from kvtui.engine.advice.matrix import table
    from kvtui.report.listings import found_devices, found_models

    found = table(scenario, what)
    on = tuple(device.name for device in (found.devices if devices is None else found_devices(devices)))
    if what != "models":
        names = found.formats
    else:
        names = found.rows if models is None else tuple(model.name for model in found_models(models))
    yield from (GridLine(what, name, on) for name in names)
