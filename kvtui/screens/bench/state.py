"""What the Bench screen shows: a value for each situation, and the functions that lead from one to the next.

    predicted --r--> live --ends--> opened --m--> compared --esc--> opened
        '---o---> opened                '--- another choice --> predicted

Everything here is a pure function over frozen values: what files and threads come to is handed in.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from kvtui.bench.compare import Comparison, compare
from kvtui.bench.store import StoredRun
from kvtui.cases.table import ColumnValues
from kvtui.screens.bench.choice import Choice
from kvtui.screens.bench.run import RunNow

View = Literal["both", "table", "figure", "log"]
VIEWS: tuple[View, ...] = ("both", "table", "figure", "log")

Run = tuple[Path, ColumnValues]
"""A stored run that was not opened yet: its folder, and its run.json."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """Nothing is measured: the cases that are chosen, with their predictions."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stored ``run`` is shown."""

    run: StoredRun


@dataclass(frozen=True, slots=True)
class Live:
    """The run that was begun here is shown as it was ``now``; it has a folder."""

    now: RunNow


@dataclass(frozen=True, slots=True)
class Compared:
    """Run ``a`` beside run ``b``; ``before`` is what was shown before, and is shown after."""

    a: StoredRun
    b: StoredRun
    found: Comparison
    before: Predicted | Opened | Live


Situation = Predicted | Opened | Live | Compared


class TableOrder(NamedTuple):
    """How the table is sorted: by the column ``key``, or not at all."""

    key: str | None = None
    descending: bool = False

    def by(self, key: str) -> TableOrder:
        """By ``key``; if it is so already, the other way round."""
        return TableOrder(key, key == self.key and not self.descending)

    def following(self, keys: Sequence[str]) -> TableOrder:
        """By the next of ``keys``; after the last, and where the key is none of them, not at all."""
        every = (None, *keys)
        return TableOrder(every[(every.index(self.key) + 1) % len(every)] if self.key in every else None)

    def turned(self) -> TableOrder:
        """The other way round."""
        return self._replace(descending=not self.descending)


@dataclass(frozen=True, slots=True)
class BenchState:
    """All that the Bench screen knows.

    ``shown`` is what is looked at, in the ``order`` and ``view`` that were asked for; ``figure`` is the name of the
    figure, empty for the first. ``choice`` is what a new run would measure. ``begun`` is the run that was begun here
    last and ``opened`` the stored run that was shown last, whether they are looked at or not. ``runs`` are stored,
    newest first.
    """

    choice: Choice = field(default_factory=Choice)
    shown: Situation = Predicted()
    begun: RunNow | None = None
    opened: StoredRun | None = None
    runs: tuple[Run, ...] = ()
    order: TableOrder = field(default_factory=TableOrder)
    view: View = "both"
    figure: str = ""

    @property
    def going(self) -> bool:
        """Whether a run is going on."""
        return self.begun is not None and not self.begun.over

    @property
    def run(self) -> StoredRun | None:
        """The run whose results are shown; None while they are only predicted."""
        match self.shown:
            case Opened(run) | Compared(a=run):
                return run
            case Live(now):
                return now.stored
        return None

    @property
    def command(self) -> str:
        """The command line that gives what is shown."""
        match self.shown:
            case Opened(run):
                return f"kvtui bench --plot-only --out {_quoted(run)}"
            case Compared(a, b):
                return f"kvtui bench --compare {_quoted(a)} {_quoted(b)}"
        return self.choice.words

    @property
    def unfinished(self) -> Path | None:
        """The folder of the stored run that is shown, if it can be gone on with."""
        match self.shown:
            case Opened(run) | Compared(before=Opened(run)) if run.about and run.about.get("finished") is None:
                return run.folder
        return None


def chosen(state: BenchState, choice: Choice) -> BenchState:
    """Another ``choice`` is made: its predictions are shown, unless a run is going on."""
    state = replace(state, choice=choice, order=TableOrder())
    return state if state.going else replace(state, shown=Predicted())


def begun(state: BenchState, now: RunNow) -> BenchState:
    """A run has been begun. It is shown as soon as it has a folder, and with it rows: until then what was shown is."""
    before = state.shown.before if isinstance(state.shown, Compared) else state.shown
    return replace(state, shown=before, begun=now, order=TableOrder())


def looked(state: BenchState, now: RunNow) -> BenchState:
    """The run that was begun is as it is ``now``.

    When it is over, what it measured is a stored run like any other. If that is nothing, the run that was opened last
    is shown, or else what is predicted. A stored run that is looked at meanwhile stays.
    """
    known = state.begun is not None and state.begun.folder is not None
    state = replace(state, begun=now)
    if now.stored is None:
        return state
    if not known:
        state = replace(state, shown=Live(now), order=TableOrder())
    if not now.over:
        return replace(state, shown=_with_live(state.shown, Live(now)))
    last = now.stored if now.stored.measured else state.opened
    shown = _with_live(state.shown, Predicted() if last is None else Opened(last))
    return state if shown == state.shown else replace(state, shown=shown, opened=last)


def found(state: BenchState, runs: Sequence[Run], newest: StoredRun | None) -> BenchState:
    """These ``runs`` are stored; the ``newest`` is shown if nothing was asked for yet."""
    state = replace(state, runs=tuple(runs))
    if newest is None or state.opened is not None or not isinstance(state.shown, Predicted):
        return state
    return opened(state, newest)


def opened(state: BenchState, run: StoredRun) -> BenchState:
    """The stored ``run`` is shown; live, if it is the one that is going on."""
    now = state.begun
    if now is not None and not now.over and now.folder == run.folder:
        return replace(state, shown=Live(now), order=TableOrder())
    return replace(state, shown=Opened(run), opened=run, order=TableOrder())


def compared(state: BenchState, other: StoredRun) -> BenchState:
    """The run that is shown is compared with the ``other`` one; nothing happens where none is shown."""
    before = state.shown.before if isinstance(state.shown, Compared) else state.shown
    run = state.run
    if run is None:
        return state
    return replace(state, shown=Compared(run, other, compare(run, other), before), order=TableOrder())


def back(state: BenchState) -> BenchState:
    """From a comparison to the run, from anything else to the run that is going on, or else to the one opened last."""
    now = state.begun
    shown = state.shown
    if isinstance(shown, Compared):
        shown = shown.before
    elif now is not None and now.stored is not None and not now.over:
        shown = Live(now)
    elif state.opened is not None:
        shown = Opened(state.opened)
    return replace(state, shown=shown, order=TableOrder())


def next_view(view: View, short: bool) -> View:
    """The view after ``view``; a ``short`` screen has no room for both table and figure."""
    views = VIEWS[1:] if short else VIEWS
    return views[(views.index(view) + 1) % len(views)]


def next_figure(names: Sequence[str], name: str, by: int) -> str:
    """The figure ``by`` places after the one called ``name``, and around; of one that is not there, after the first."""
    return names[(place(names, name) + by) % len(names)] if names else ""


def place(names: Sequence[str], name: str) -> int:
    """Where ``name`` is among the ``names``; the first place if it is not there."""
    return names.index(name) if name in names else 0


def _quoted(run: StoredRun) -> str:
    return shlex.quote(str(run.folder))


def _with_live(shown: Situation, now: Predicted | Opened | Live) -> Situation:
    """``shown`` with what has become of the live run, where that is what is looked at."""
    match shown:
        case Live():
            return now
        case Compared(before=Live()):
            return replace(shown, before=now)
    return shown
