"""``kvtui models`` and ``kvtui devices``: the catalogues as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_table, choose

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """What to look for, and the options of the table."""
    parser.add_argument("search", nargs="?", help="part of a name")
    add_table(parser)


def run(args: argparse.Namespace) -> int:
    """Print the catalogue that ``args.command`` names.

    Raises UnknownName when nothing is found, and OSError when the table cannot be written.
    """
    from kvtui.output import table
    from kvtui.report.listings import listing

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    columns, rows = listing(args.command, args.search)
    answer.write(table.render(columns, rows, args.format, answer.width, answer.color, answer.ascii_only))
    return 0
