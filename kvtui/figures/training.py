"""A training run's log: loss, learning rate and speed by step, several runs over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Figure, Line, Mark, Panel, floats
from kvtui.figures.measured import ResultRow, figure, nothing, number

ABOUT = ("training", "Training", "Has the loss settled, and did the learning rate let it?")
STEP = Axis("step")
MOST_RUNS = 12

Logs = Mapping[str, Sequence[ResultRow]]


def curves(logs: Logs) -> Figure:
    """Loss of the steps and of the validation text, learning rate, and speed, for each of the ``logs`` by run."""
    if not logs:
        return nothing(*ABOUT, "No training runs; kvtui train makes them.")
    shown = dict(list(logs.items())[:MOST_RUNS])
    notes = ["Validation losses are those of the whole validation text, training losses those of the last steps."]
    if len(logs) > len(shown):
        notes.append(f"The first {len(shown)} of {len(logs)} runs are drawn.")
    both = [*_lines(shown, "loss", " training"), *_lines(shown, "val_loss", "", dashed=True)]
    panels = (
        Panel("loss", STEP, Axis("loss", "nats per token"), tuple(both)),
        Panel("learning rate", STEP, Axis("learning rate"), _lines(dict(list(shown.items())[:1]), "learning_rate")),
        Panel("speed", STEP, Axis("training speed", "tokens/s"), _lines(shown, "tokens_per_s")),
    )
    return figure(*ABOUT, panels, notes)


def _lines(logs: Logs, column: str, what: str = "", dashed: bool = False) -> tuple[Mark, ...]:
    lines: list[Mark] = []
    for name, rows in logs.items():
        points = [(at, y) for row in rows if (at := number(row, "step")) and (y := number(row, column)) is not None]
        if points:
            across, up = (floats(column) for column in zip(*points, strict=True))
            word = plain(name, limit=40) + what
            lines.append(Line(word, across, up, dash="dashed" if dashed else "solid", points=dashed))
    return tuple(lines)
