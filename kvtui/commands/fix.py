"""``kvtui fix``: the cheapest changes under which a scenario fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose

if TYPE_CHECKING:
    import argparse

NOTHING_FOUND = 4


def add(parser: argparse.ArgumentParser) -> None:
    """The table's options, and the scenario's, one of them under the name of a wish."""
    parser.description = (
        "The cheapest changes, alone or two and three together, under which a scenario fits that does not, each with "
        "what it gives, costs and risks. What you wish for is part of the scenario: --users 35 --context 128K."
    )
    add_table(parser)
    add_scenario(parser)
    parser.add_argument("--users", dest="batch", metavar="N", help="the same as --batch")


def run(args: argparse.Namespace) -> int:
    """Print the fixes; the exit code says whether it fits, or there is one.

    Raises InputError for a scenario that is wrong, and OSError when the table cannot be written.
    """
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report import fixes
    from kvtui.report.document import document

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    found = document(scenario_from(vars(args)))
    answer.write(fixes.render(found, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only))
    return 0 if found["memory"]["fits"] or found["fixes"] else NOTHING_FOUND
