"""The windows of a model as its engine applies them.

A model's files may state a window that an engine's code for it does not look at, and then the engine keeps every token:
llama.cpp and SGLang do so with Phi-3 and StarCoder2, vLLM applies the window. The releases of each engine say which
families it is for.
"""

from __future__ import annotations

from functools import lru_cache

from kvtui.engine.engines.known import KNOWN, applies_windows
from kvtui.engine.model.caches import Attention, AttentionKind, Cache, Shared
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.scenario.scenario import Scenario


def as_kept(scenario: Scenario) -> tuple[Scenario, tuple[str, ...]]:
    """``scenario`` with the windows that its engine applies, and what the user should know of them.

    For example, Phi-3-mini under llama.cpp has full attention in 32 layers, though its config.json states a window.
    """
    model = scenario.model
    title = next(known.title for known in KNOWN if known.name == scenario.engine)
    if not applies_windows(scenario.engine, model):
        if all(cache.kind != "sliding_window" for cache, _ in model.caches):
            return scenario, ()
        kept, note = _with_window(model, None), "keeps all tokens: it does not apply the windows that the files state"
    elif model.window is not None:
        kept = _with_window(model, model.window)
        note = f"applies the window of {model.window:,} tokens that the model's files state"
    else:
        return scenario, ()
    return scenario._replace(model=kept), (f"{title} {note}",)


@lru_cache(maxsize=64)
def _with_window(model: ModelSpec, window: int | None) -> ModelSpec:
    """``model`` with ``window`` where it has full attention, or without one with full attention where it slides."""

    def layer(one: Layer) -> Layer:
        return one._replace(caches=tuple(_cache(cache, window) for cache in one.caches))

    return model._replace(layers=tuple(map(layer, model.layers)), mtp=tuple(map(layer, model.mtp)))


def _cache(cache: Cache, window: int | None) -> Cache:
    before: AttentionKind = "sliding_window" if window is None else "full"
    after: AttentionKind = "full" if window is None else "sliding_window"
    match cache:
        case Attention() if cache.kind == before:
            return cache._replace(kind=after, cap=window)
        case Shared(Attention() as reads) if reads.kind == before:
            return Shared(reads._replace(kind=after, cap=window))
    return cache
