"""``kvtui reconcile``: a server's boot log beside the plan of the same start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.narration import say
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose
from kvtui.engine.basis.errors import InputError

if TYPE_CHECKING:
    import argparse

    from kvtui.engine.bootlog.observed import BootLog


def add(parser: argparse.ArgumentParser) -> None:
    """The log, the profile to save, the table's options, and the scenario's, which override the log's."""
    parser.description = (
        "Compare what vLLM, llama.cpp, SGLang or TensorRT-LLM logged at its start with the plan of the same start. "
        "Options override what the log says of itself."
    )
    parser.add_argument("log", metavar="LOG", help="a file, or - for standard input")
    parser.add_argument("--save-profile", metavar="NAME", help="keep the measured overheads for --profile NAME")
    add_table(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and save the profile that was asked for.

    Raises InputError for a log or options that are wrong, and OSError when something cannot be written.
    """
    from kvtui.engine.reconcile.reconcile import overheads_of, reconcile
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.sources.machines import check_name, save_profile
    from kvtui.report import reconcile as report

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    if args.save_profile is not None:
        check_name(args.save_profile)
    values = vars(args)
    found = reconcile(_boot_log(args.log), {option.key: values[option.key] for option in OPTIONS})
    if args.save_profile is not None:
        if not found.known_device:
            raise InputError("save-profile: what a machine keeps is not known without its device: name it with --gpu")
        say(f"saved {save_profile(overheads_of(found.scenario, found.measured, args.save_profile))}")
    answer.write(
        report.render(
            report.document(found),
            args.format,
            width=answer.width,
            color=answer.color,
            ascii_only=answer.ascii_only,
        )
    )
    return 0


def _boot_log(name: str) -> BootLog:
    from kvtui.engine.basis.files import open_to_read, unreadable
    from kvtui.engine.reconcile.read_log import read_log

    if name == "-":
        return read_log(sys.stdin.buffer)
    try:
        stream = open_to_read(name)
    except (OSError, InputError) as error:
        raise InputError(f"log: {unreadable(name, error) if isinstance(error, OSError) else error}") from None
    with stream:
        return read_log(stream)
