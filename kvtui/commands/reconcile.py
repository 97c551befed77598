"""``kvtui reconcile``: a server's boot log beside the plan of the same start, or the command that is to start it."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, cast

from kvtui.commands.answer import Answer
from kvtui.commands.narration import say
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose
from kvtui.engine.basis.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Any

    from kvtui.engine.bootlog.observed import BootLog
    from kvtui.engine.model.spec import ModelSpec
    from kvtui.engine.reconcile.command import ReadCommand
    from kvtui.engine.scenario.values import Values

PEEKED_BYTES = 2**16
MOST_LINES = 3
"""Lines of a command with what may stand around it; what is longer is a log."""


def add(parser: argparse.ArgumentParser) -> None:
    """The log, the profile to save, the table's options, and the scenario's, which override the log's."""
    parser.description = (
        "Compare what vLLM, llama.cpp, SGLang or TensorRT-LLM logged at its start with the plan of the same start. "
        "Options override what the log says of itself. A command line that starts one of them, in quotes, is planned, "
        "and corrected in its own flags if it does not fit."
    )
    parser.add_argument("log", metavar="LOG", help="a file, a command line in quotes, a tag, or - for stdin")
    parser.add_argument("--save-profile", metavar="NAME", help="keep the measured overheads for --profile NAME")
    add_table(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and save the profile that was asked for.

    Raises InputError for a log or options that are wrong, and OSError when something cannot be written.
    """
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.sources.machines import check_name

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    if args.save_profile is not None:
        check_name(args.save_profile)
    values = {option.key: vars(args)[option.key] for option in OPTIONS}
    render, found = _found(args, values)
    answer.write(render(found, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only))
    return 0


def _found(args: argparse.Namespace, values: Values) -> tuple[Callable[..., str], Mapping[str, Any]]:
    """What to say of what was given, as plain values, and what renders it."""
    model = _named(args.log)
    if model is not None:
        from kvtui.engine.scenario.values import scenario_from
        from kvtui.report import document, render

        return render, document.document(scenario_from({**values, "model": args.log}, model))
    stream = _Peeked(_stream(args.log))
    command = _command(stream.beginning, values)
    if command is not None:
        from kvtui.report import command as commands

        return commands.render, commands.document(command)
    from kvtui.engine.reconcile.read_log import read_log

    with closing(stream):
        log = read_log(cast("BinaryIO", stream))
    return _compared(args, log, values)


def _compared(args: argparse.Namespace, log: BootLog, values: Values) -> tuple[Callable[..., str], Mapping[str, Any]]:
    """The ``log`` beside its plan; of one that tells no model, what its refusal alone says."""
    from kvtui.engine.reconcile.reconcile import overheads_of, reconcile
    from kvtui.engine.reconcile.refusal import refusal_of
    from kvtui.engine.sources.machines import save_profile
    from kvtui.report import reconcile as report

    try:
        found = reconcile(log, values)
    except InputError:
        refused = None if values["model"] or args.save_profile else refusal_of(log)
        if refused is None:
            raise
        from kvtui.report import refusal

        return refusal.render, refusal.document(refused)
    if args.save_profile is not None:
        if not found.known_device:
            raise InputError("save-profile: what a machine keeps is not known without its device: name it with --gpu")
        say(f"saved {save_profile(overheads_of(found.scenario, found.measured, args.save_profile))}")
    return report.render, report.document(found)


def _named(name: str) -> ModelSpec | None:
    """The model that a tag of Ollama or an address of the Hub stands for; None for a file and everything else."""
    if os.path.exists(name) or " " in name or not (":" in name or name.startswith(("huggingface.co/", "hf.co/"))):
        return None
    from kvtui.engine.sources.names import known_name

    return known_name(name)


class _Peeked:
    """A stream whose ``beginning`` was looked at and is still to be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.beginning = self._left = stream.read(PEEKED_BYTES)

    def read(self, size: int) -> bytes:
        """The next bytes, those of the beginning first."""
        if self._left:
            taken, self._left = self._left[:size], self._left[size:]
            return taken
        return self._stream.read(size)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _stream(name: str) -> BinaryIO:
    """What is to be read: standard input, the words themselves where they are no file but several words, or a file."""
    from kvtui.engine.basis.files import open_to_read, unreadable

    if name == "-":
        return sys.stdin.buffer
    if " " in name.strip() and not os.path.exists(name):
        return BytesIO(name.encode())
    try:
        return open_to_read(name)
    except (OSError, InputError) as error:
        raise InputError(f"log: {unreadable(name, error) if isinstance(error, OSError) else error}") from None


def _command(beginning: bytes, values: Values) -> ReadCommand | None:
    """The command that the ``beginning`` of what is read is, if that is all there is."""
    from kvtui.engine.reconcile.command import understood
    from kvtui.engine.serving.launching import LONGEST_COMMAND

    text = beginning.decode("utf-8", "replace")
    if len(text) > LONGEST_COMMAND:
        return None
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return understood(text, values) if 0 < len(lines) <= MOST_LINES else None
