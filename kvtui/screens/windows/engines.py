"""Choosing an engine and its release by what they make of the scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kvtui.engine.advice.matrix import answer
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.engines.known import ENGINES, milestones
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import typed_fields
from kvtui.screens.windows.picker import Entry, Fit, Picker, PickerColumn, Source
from kvtui.state.session import Session

ABSENT = "–"
COLUMNS = (
    PickerColumn("engine", 24, right=False),
    PickerColumn("KV tokens", 12),
    PickerColumn("longest", 12, always=False),
    PickerColumn("at once", 9),
    PickerColumn("fits?", 14),
)


class EnginePicker(Picker):
    """Chooses an engine, or a release of it in which what it allocates changed, or any release by its number."""

    def __init__(self, session: Session) -> None:
        scenario = session.scenario

        def typed(text: str) -> Callable[[], None]:
            session.preview("engine", text)
            return lambda: session.set_text("engine", text)

        super().__init__(
            Source(
                title=f"engine for {plain(scenario.model.name, 40)}",
                placeholder="search, or type a release: vllm@0.15, llama.cpp@b6200",
                columns=COLUMNS,
                current=_name(scenario),
                entries=lambda: _entries(scenario),
                fit=lambda name: _fit(scenario, name),
                take=lambda name: session.set_text("engine", name),
                typed=typed,
                reads="an engine and its release",
            )
        )


def _entries(scenario: Scenario) -> Iterator[Entry]:
    yield _entry(scenario, ENGINES[0], "plain arithmetic: no engine's rounding, blocks or reserves")
    for engine in ENGINES[1:]:
        found = milestones(engine)
        for version, news in found:
            yield _entry(scenario, f"{engine}@{version}", news)
        if not found:
            yield _entry(scenario, engine, f"as {engine} allocates")


def _entry(scenario: Scenario, name: str, about: str) -> Entry:
    return Entry(name=name, words=name, cells=_cells(scenario, name), about=about)


def _cells(scenario: Scenario, name: str) -> tuple[str, ...]:
    try:
        tried = _on(scenario, name)
        served, found = serve(tried), answer(tried)
    except InputError:
        return (ABSENT,) * 3
    tokens = ABSENT if served is None else f"{served.kv_cache_tokens:,}"
    counts = ("no bound" if count is None else f"{count:,}" for count in (found.context, found.sequences))
    return tokens, *counts


def _fit(scenario: Scenario, name: str) -> Fit:
    try:
        found = answer(_on(scenario, name))
    except InputError:
        return Fit(False, "not at all")
    if found.reason:
        return Fit(False, "not at all")
    return Fit(found.fits, "fits" if found.fits else "does not fit")


def _on(scenario: Scenario, name: str) -> Scenario:
    return adapted(scenario, typed_fields(scenario, "engine", name))[0]


def _name(scenario: Scenario) -> str:
    """The row of the scenario's engine."""
    releases = milestones(scenario.engine)
    if not releases:
        return scenario.engine
    return f"{scenario.engine}@{scenario.serving.version or releases[0].version}"
