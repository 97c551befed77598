"""The words that commands share: the parser, groups of options, and errors of one line."""

from __future__ import annotations

import argparse
import os
import sys

from kvtui.commands.narration import fail
from kvtui.engine.basis.errors import UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, NoReturn

TABLE_FORMATS = ("text", "json", "csv", "markdown")
COLORS = ("auto", "always", "never")
MOST_HELP_COLUMNS = 100


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and ``message`` on one line of stderr."""
        fail(message.partition(" (choose from")[0])

    def options(self) -> tuple[str, ...]:
        """All its option words, in order."""
        return tuple(option for action in self._actions for option in action.option_strings)


class CommandParser(Parser):
    """The parser of one command, empty until the line is read as far as the command's name.

    ``fill`` then gives it its options. Most lines name no command, or one: the others cost nothing.
    """

    def __init__(self, *, fill: Callable[[Parser], None], **options: Any) -> None:
        super().__init__(**options, add_help=False)
        self._later: Callable[[Parser], None] | None = fill

    def filled(self) -> CommandParser:
        """This parser with its options."""
        if self._later is not None:
            fill, self._later = self._later, None
            self.add_argument("-h", "--help", action="help", help="show this help message and exit")
            fill(self)
        return self

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As any argument parser does."""
        self.filled()
        return super().parse_known_args(args, namespace)


def choose(what: str, value: str, allowed: Collection[str]) -> None:
    """Raises UnknownName for a ``value`` that is not ``allowed``; ``what`` is the noun."""
    if value not in allowed:
        raise UnknownName(what, value, allowed)


def add_output(parser: argparse.ArgumentParser, output: str = "write to FILE instead of stdout") -> None:
    """``--output``, ``--color`` and ``--ascii``, which an ``Answer`` reads."""
    parser.add_argument("-o", "--output", metavar="FILE", help=output)
    parser.add_argument("--color", metavar="WHEN", default="auto", help=f"{', '.join(COLORS)}")
    parser.add_argument("--ascii", action="store_true", help="no characters beyond ASCII in text")


def add_table(parser: argparse.ArgumentParser, formats: Sequence[str] = TABLE_FORMATS) -> None:
    """``--format`` of a table, and where it goes."""
    parser.add_argument("--format", metavar="FORMAT", default="text", help=", ".join(formats))
    add_output(parser)


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """The options of a scenario, each under its key and its heading."""
    from kvtui.engine.scenario.options import GROUPS

    for title, options in GROUPS.items():
        group = parser.add_argument_group(f"scenario: {title}")
        for option in options:
            flags = (f"--{option.name}", *option.flags)
            if option.one_way:
                group.add_argument(*flags, dest=option.key, action="store_true", default=None, help=option.help)
            elif option.switch:
                group.add_argument(*flags, dest=option.key, action=argparse.BooleanOptionalAction, help=option.help)
            elif option.bare is not None:
                group.add_argument(
                    *flags, dest=option.key, metavar=option.metavar, nargs="?", const=option.bare, help=option.help
                )
            else:
                group.add_argument(*flags, dest=option.key, metavar=option.metavar, help=option.help)


class PlainHelp(argparse.RawDescriptionHelpFormatter):
    """Help without colours, as before Python 3.14: its table of them loads ``dataclasses``, a third of a start."""

    def _set_color(self, color: bool) -> None:
        self._theme, self._decolor = NoColors(), str


class NoColors:
    """What Python 3.14 looks its colours up in."""

    def __getattr__(self, name: str) -> str:
        return ""


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Help as wide as the terminal; asked here because argparse loads half of shutil to ask."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        columns = 80
    return PlainHelp(prog, width=min(columns, MOST_HELP_COLUMNS) - 2)
