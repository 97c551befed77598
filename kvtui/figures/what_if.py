"""What if: the cache of a scenario's model beside what other attentions and compressed caches would make of it."""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import counted, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.formats import kv_format
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.model.what_if import applied, parsed, usual
from kvtui.engine.planning.what_if import HONEST
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Bars, Figure, Line, Panel, floats, largest_first
from kvtui.figures.scenarios import CONTEXT

WHAT_IF = ("what-if", "What if the cache were another", "What would another attention, or a compressed cache, free?")
CONTEXTS = tuple(2**n for n in range(9, 18))
CACHE = Axis("cache of one sequence", scale="log2", ticks="bytes")
AS_IT_IS = "as it is"


def beside(scenario: Scenario) -> Figure:
    """The cache of one sequence over context, and at the scenario's context, under each what-if that changes it."""
    real = scenario.model.real if isinstance(scenario.model.real, ModelSpec) else scenario.model
    found, notes = {AS_IT_IS: real}, []
    asked = [scenario.model.what_if] if scenario.model.what_if else []
    for text in (*asked, *usual(real)):
        try:
            model = applied(real, text)
        except InputError as error:
            notes.append(f"{text} is left out: {str(error).removeprefix('what-if: ')}.")
            continue
        found.setdefault(text, model)
        notes += [f"{one.text}: {one.called} ({one.paper})." for one in parsed(text)]
    lines = tuple(
        Line(name, floats(CONTEXTS), floats([_bytes(model, scenario, tokens) for tokens in CONTEXTS]))
        for name, model in found.items()
    )
    sizes = floats([_bytes(model, scenario, scenario.context) for model in found.values()])
    at = f"at {format_tokens(scenario.context)} tokens"
    bars = Panel(at, Axis("case"), Axis(CACHE.label, ticks="bytes"), (Bars("cache", sizes),), categories=tuple(found))
    head = f"{plain(real.name)}, {counted(len(real.layers), 'layer')}, {scenario.kv_dtype}. {HONEST}."
    return Figure(*WHAT_IF, (Panel("by context", CONTEXT, CACHE, lines), largest_first(bars)), (head, *notes))


def _bytes(model: ModelSpec, scenario: Scenario, tokens: int) -> int:
    """Bytes of all caches and states of one sequence, in the scenario's format or the what-if's own."""
    size = cache_bytes(model.caches, tokens, model.what_if_kv or kv_format(scenario.kv_dtype), 1)
    return size.kv + size.state
