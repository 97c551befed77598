"""``kvtui models`` and ``kvtui devices``: the catalogues as tables, and the formats of one model's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_table, choose

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """What to look for, and the options of the table."""
    parser.add_argument("search", nargs="*", help="words of a name, a maker or a kind: 4070 ti super, mac, 5060ti 16")
    if parser.prog.endswith("models"):
        parser.add_argument("--formats", action="store_true", help="the size of one model in every weight format")
    parser.add_argument("--template", action="store_true", help="an entry for a file of your own, of the one named")
    add_table(parser)


def run(args: argparse.Namespace) -> int:
    """Print the catalogue that ``args.command`` names, an entry of it to begin one's own with, or a model's formats.

    What is wrong with entries of the user's file, which are left out, is said on stderr.

    Raises UnknownName when nothing is found, InputError when formats are asked for without a model or of one whose
    weights are unknown, and OSError when the table cannot be written.
    """
    from kvtui.commands.narration import say
    from kvtui.engine.basis.errors import InputError
    from kvtui.engine.device.catalogue import wrong_devices
    from kvtui.engine.model.catalogue import wrong_models
    from kvtui.output import table
    from kvtui.report.listings import formats, listing

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    search = " ".join(args.search) or None
    if args.template:
        from kvtui.report.template import template

        answer.write(template(args.command, search))
        return 0
    for line in wrong_models() if args.command == "models" else wrong_devices():
        say(f"left out: {line}")
    if args.command == "models" and args.formats:
        if search is None:
            raise InputError("formats: of which model? kvtui models Llama-3.1-8B --formats")
        columns, rows = formats(search)
    else:
        columns, rows = listing(args.command, search)
    answer.write(table.render(columns, rows, args.format, answer.width, answer.color, answer.ascii_only))
    return 0
