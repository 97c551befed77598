"""``kvtui compare``: scenarios side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose
from kvtui.engine.basis.errors import InputError

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """The options of each scenario, and of the table."""
    parser.description = "Compare scenarios, separated by --. The first is the one the others are measured against."
    add_table(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print the scenario of ``args`` beside those of ``args.others``; the table's options are those of the first.

    Raises InputError for a scenario that is wrong or alone, and OSError when the table cannot be written.
    """
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report import compare
    from kvtui.report.document import document

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    if not args.others:
        raise InputError("compare: give at least two scenarios, separated by --")
    documents = [document(scenario_from(vars(one))) for one in (args, *args.others)]
    answer.write(
        compare.render(documents, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only)
    )
    return 0
