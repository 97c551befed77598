"""The models whose shapes allow a log's numbers, for a log that does not say which model it is of.

Each model of the catalogue is planned as the log's start, and stays if every exact prediction agrees and its weights
come near those that were loaded. Example: 5.33 GiB of cache that hold 38,816 tokens are 144 KiB a token, which Qwen3-8B
has, and with other weights Qwen3-4B.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.engines.known import part
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.reconcile.names import squeezed
from kvtui.engine.reconcile.start import start_of
from kvtui.engine.reconcile.stored import weights_of
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import ComparedLog, Component

SAME_WEIGHTS = 0.05
LISTED = 4
ARCHITECTURE_ENDINGS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "Model")


class Alike(NamedTuple):
    """The ``models`` that may be a log's, the likeliest first, and in ``words`` which is taken and by what."""

    models: tuple[ModelSpec, ...]
    words: str = ""


class _Match(NamedTuple):
    """How well a model fits: ``apart`` is how far its weights are from those loaded, as a share; None if unknown."""

    model: ModelSpec
    agreeing: tuple[str, ...]
    apart: float | None
    kin: int


def alike(log: BootLog, told: Mapping[str, str | bool]) -> Alike:
    """The models that may be the one of ``log``, with the options ``told`` by key."""
    if not (log.counts or log.ratios or log.buffers or "needed" in log.sizes):
        return Alike(())
    matches = [match for match in (_match(log, told, model) for model in all_models()) if match is not None]
    if not matches:
        return Alike(())
    best = sorted(matches, key=lambda found: (-len(found.agreeing), -found.kin, _apart(found)))
    evidence = [*best[0].agreeing]
    loaded = log.most("weights")
    if best[0].apart is not None and loaded is not None:
        evidence.append(f"{format_bytes(loaded.bytes)} of weights")
    others = [found.model.name for found in best[1 : 1 + LISTED]]
    words = f"by its {' and '.join(evidence)} it may be {best[0].model.name}"
    if others:
        words += f", which is taken, or {', '.join(others)}{' or others' if len(best) > 1 + LISTED else ''}"
    return Alike(tuple(found.model for found in best), words)


def _apart(found: _Match) -> float:
    return 1.0 if found.apart is None else found.apart


def _match(log: BootLog, told: Mapping[str, str | bool], model: ModelSpec) -> _Match | None:
    """How well ``model`` fits; None if it does not, or if nothing tells.

    The cache is compared first, without weights: few models are left to be weighed.
    """
    try:
        exact = _exact(log, {**told, "skip_weights": True}, model)
        if not exact or any(row.verdict == "differs" for row in exact):
            return None
        start = start_of(log, told, model, guess_device=False)
    except InputError:
        return None
    apart = _weights_apart(log, start.scenario)
    if apart is not None and apart > SAME_WEIGHTS:
        return None
    return _Match(model, tuple(row.label for row in exact), apart, _kin(log, model))


def _exact(log: BootLog, told: Mapping[str, str | bool], model: ModelSpec) -> list[Component]:
    start = start_of(log, told, model, guess_device=False)
    found: ComparedLog = part(log.engine, "components").compare(log, start.scenario, start.known_device)
    return [row for row in found.rows if row.exact]


def _weights_apart(log: BootLog, scenario: Scenario) -> float | None:
    loaded = log.most("weights")
    size = None if scenario.skip_weights else weights_of(scenario)
    return None if loaded is None or not loaded.bytes or size is None else abs(size / loaded.bytes - 1)


def _kin(log: BootLog, model: ModelSpec) -> int:
    """How many letters the log's architecture and the model's name begin with alike: Qwen3ForCausalLM, Qwen3-8B: 5."""
    name = log.words.get("architecture", "")
    for ending in ARCHITECTURE_ENDINGS:
        name = name.removesuffix(ending)
    pairs = zip(squeezed(name), squeezed(model.name), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
