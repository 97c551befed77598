"""``kvtui --completion``: what a shell needs to complete the command line."""

from __future__ import annotations

from kvtui.commands.answer import Answer
from kvtui.commands.parser import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "tcsh")


def add(parser: argparse.ArgumentParser) -> None:
    """``--completion``."""
    parser.add_argument("--completion", metavar="SHELL", help=f"print a completion script: {', '.join(SHELLS)}")


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Print the script that completes the words of ``parser``. Raises UnknownName for another shell."""
    import shtab

    answer = Answer(args, args.completion)
    choose("shell", args.completion, SHELLS)
    answer.write(str(shtab.complete(parser, args.completion)) + "\n")
    return 0
