"""Choosing an engine and its release by what they make of the scenario, and typing any option."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kvtui.engine.advice.matrix import answer
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.engines.known import ENGINES, milestones
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import find_option, typed_fields
from kvtui.engine.scenario.values import to_values
from kvtui.screens.windows.palette import difference, option_of
from kvtui.screens.windows.picker import Entry, Fit, Picker, PickerColumn, Source
from kvtui.screens.windows.prompt import PromptScreen
from kvtui.state.session import Session

ABSENT = "–"
COLUMNS = (
    PickerColumn("engine", 24, right=False),
    PickerColumn("KV tokens", 12),
    PickerColumn("longest", 12, always=False),
    PickerColumn("at once", 9),
    PickerColumn("fits?", 14),
)
PROMPTED = (
    "kv-pool",
    "gpu-memory-utilization",
    "max-seqs",
    "max-batched-tokens",
    "block-size",
    "context",
    "batch",
    "tp",
    "pp",
    "dp",
    "speculative-tokens",
    "shared-prefix",
    "prefix-caching",
    "hybrid-manager",
    "engine",
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
            )
        )


def option_prompt(session: Session) -> PromptScreen:
    """Asks for an option and its value; up and down go through those that matter most here."""

    def chosen(text: str) -> tuple[str, str]:
        option, value = option_of(text.replace("=", " ", 1).split())
        if option is None:
            raise InputError("name an option and its value, such as kv-pool 40GiB")
        return option.key, value

    def preview(text: str) -> str:
        if not text.strip():
            return ""
        change = session.preview(*chosen(text))
        return difference(change.before, change.after)

    def step(text: str, by: int) -> str:
        option, _ = option_of(text.split()) if text.strip() else (None, "")
        at = PROMPTED.index(option.name) if option is not None and option.name in PROMPTED else -1 if by < 0 else 0
        return _with_value(session.scenario, PROMPTED[(at - by) % len(PROMPTED)])

    return PromptScreen(
        "option and value",
        "",
        "kv-pool 40GiB · gpu-memory-utilization 0.95 · max-seqs 64 · tp 4 · engine vllm@0.20",
        preview=preview,
        take=lambda text: session.set_text(*chosen(text)),
        step=step,
    )


def _with_value(scenario: Scenario, name: str) -> str:
    match to_values(scenario).get(find_option(name).key, "default"):
        case bool(on):
            return f"{name} {'on' if on else 'off'}"
        case value:
            return f"{name} {value}"


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
