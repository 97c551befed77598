"""A server's command line as it was understood, whether it fits, and the commands that would: in every format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kvtui.engine.advice.fixes import Fix, fixes
from kvtui.engine.planning.plan import plan
from kvtui.engine.reconcile.command import ReadCommand
from kvtui.output import markdown, table
from kvtui.output.lines import StyledLine, rule, wrap
from kvtui.output.shell import shell_lines
from kvtui.output.table import Column
from kvtui.report import document as reports
from kvtui.report.forms import renderer
from kvtui.report.sections import title, verdict

COLUMNS = (
    Column("name", "change"),
    Column("quality_risk", "risk"),
    Column("command", "command"),
    Column("besides", "besides", format="; ".join),
)


CHECKPOINT = "CHECKPOINT"
"""What stands for a repository that nobody named: a command with it starts nothing, and so nothing else by mistake."""

UNSAID = {"devices": frozenset(("gpu", "memory", "gpus", "tp", "pp", "dp")), "batch": frozenset(("batch",))}
"""The options by which a change may be left to be said beside the command, as no flag of it says them."""


class CommandFix(NamedTuple):
    """A ``fix`` of a command: the corrected ``line``, and what no flag says, such as another device."""

    fix: Fix
    line: str
    besides: tuple[str, ...]


def corrected(found: ReadCommand) -> tuple[CommandFix, ...]:
    """The command with each of the fixes, the least change first; none where it fits as it is."""
    return () if plan(found.scenario).fits else tuple(_with(found, fix) for fix in fixes(found.scenario))


def _with(found: ReadCommand, fix: Fix) -> CommandFix:
    line, unsaid = found.told(fix.scenario)
    besides = [change.name for change in fix.changes if not UNSAID.get(change.axis, frozenset()).isdisjoint(unsaid)]
    if "weight_dtype" in unsaid:
        ref, words = found.scenario.ref, line.split(" ")
        line = " ".join(CHECKPOINT if word.strip("'") == ref else word for word in words)
        besides.append(
            f"{CHECKPOINT} stands for a repository of {found.scenario.model.name} in {fix.scenario.weight_dtype}"
        )
    return CommandFix(fix, line, tuple(besides))


def document(found: ReadCommand) -> dict[str, Any]:
    """The whole answer as plain values, the report of the plan among them. Raises InputError where the plan does."""
    report = reports.document(found.scenario)
    return {
        "schema": reports.SCHEMA,
        "kvtui": report["kvtui"],
        "engine": found.command.launch.engine,
        "read": dict(found.command.values),
        "notes": list(found.notes),
        "fits": report["memory"]["fits"],
        "commands": [
            {
                "name": one.fix.name,
                "quality_risk": one.fix.risk.word,
                "command": one.line,
                "besides": list(one.besides),
            }
            for one in corrected(found)
        ],
        "report": report,
    }


def users(found: Mapping[str, Any]) -> str:
    """How many run together: ``room for 7 users, all at 128K; 23 at 30 % average``."""
    capacity, context = found["report"]["capacity"], found["report"]["scenario"]["context_tokens"]
    full, average = capacity["users_full"], capacity["users_average"]
    words = f"room for {_count(full)} user{'' if full == 1 else 's'}, all at {context:,} tokens"
    return words if average == full else f"{words}; {_count(average)} at {capacity['average_fill_percent']} % average"


def _count(count: int | None) -> str:
    return "any number of" if count is None else f"{count:,}"


def _lines(found: Mapping[str, Any], width: int) -> Iterator[StyledLine]:
    fits, sentence = verdict(found["report"])
    yield ((f"{found['engine']}: {' · '.join(title(found['report']))}", "strong"),)
    for number, line in enumerate(wrap(sentence, width - 2)):
        yield (((("✓ " if fits else "✗ ") if not number else "  ") + line, "ok" if fits else "bad"),)
    yield ((users(found), ""),)
    for note in found["notes"]:
        yield from (((line, "dim"),) for line in wrap(f"- {note}", width, 2))
    if found["commands"]:
        yield ()
        yield rule("the command that starts", width, "the least change first")
    for number, one in enumerate(found["commands"], 1):
        risk = "" if one["quality_risk"] == "none" else f"   risk {one['quality_risk']}"
        yield (f"{number:>2}  ", ""), (one["name"], "strong"), (risk, "dim")
        yield from (((f"    {line}", ""),) for line in shell_lines(one["command"], width - 4))
        if one["besides"]:
            yield from (((f"    {line}", "dim"),) for line in wrap(f"and {', and '.join(one['besides'])}", width - 4))
    yield ()
    yield rule("the same plan", width)
    for line in shell_lines(found["report"]["scenario"]["command_line"], width):
        yield ((line, "dim"),)


def _markdown(found: Mapping[str, Any]) -> str:
    fits, sentence = verdict(found["report"])
    blocks = [
        f"# {markdown.escape(' · '.join((found['engine'], *title(found['report']))))}",
        f"**{'✓' if fits else '✗'} {markdown.escape(sentence)}**",
        markdown.escape(users(found)),
        *(f"- {markdown.escape(note)}" for note in found["notes"]),
    ]
    for one in found["commands"]:
        besides = f", and {', '.join(one['besides'])}" if one["besides"] else ""
        blocks += [f"## {markdown.escape(one['name'] + besides)}", markdown.fence(one["command"])]
    blocks += ["## The same plan", markdown.fence(found["report"]["scenario"]["command_line"])]
    return "\n\n".join(blocks) + "\n"


def _csv(found: Mapping[str, Any]) -> str:
    return table.render(COLUMNS, found["commands"], "csv")


render = renderer(_lines, _csv, _markdown)
