"""``kvtui --report``: the plan of a scenario, as text or for programs."""

from __future__ import annotations

from kvtui.commands.answer import Answer
from kvtui.commands.parser import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

FORMATS = ("text", "json", "csv", "markdown", "html")
NOT_FITTING = 4


def add(parser: argparse.ArgumentParser) -> None:
    """``--report`` and ``--check``."""
    what = f"print the plan and exit: {', '.join(FORMATS)}"
    parser.add_argument("--report", nargs="?", const="text", metavar="FORMAT", help=what)
    parser.add_argument("--check", action="store_true", help="with --report: exit with 4 when it does not fit")
    parser.add_argument(
        "--observed",
        metavar="URL|FILE",
        help="with --report: the plan of a running server or a recording, with it beside",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; the exit code says with ``--check`` whether the scenario fits.

    Raises InputError for a scenario that is wrong, and OSError when the report cannot be written.
    """
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report import render
    from kvtui.report.document import document

    form = args.report or "text"
    answer = Answer(args, form)
    choose("report format", form, FORMATS)
    if args.observed is None:
        found = document(scenario_from(vars(args)))
    else:
        from kvtui.commands.watch import planned_as_observed
        from kvtui.report.observed.document import section

        scenario, seen = planned_as_observed(args.observed, vars(args))
        found = document(scenario) | {"observed": section(seen)}
    if form == "text":
        shown = render(found, form, width=answer.width, color=answer.color, ascii_only=answer.ascii_only)
    else:
        shown = render(found, form)
    answer.write(shown)
    return NOT_FITTING if args.check and not found["memory"]["fits"] else 0
