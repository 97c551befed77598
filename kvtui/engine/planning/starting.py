"""What a scenario starts with on a device: the largest of a short list of models that fits, at full context.

The classes go by the nominal size in GB and by the kind of memory, and their models, batches, contexts and switches are
those of the kvcache.io visualiser. It counts a mixture's active weights only and no limit of a model's own, so that two
thirds of its defaults fit no device; here the class's model gives way to the next smaller one, and its context to the
longest one that fits.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import Values, scenario_from

FOLLOWING_THE_DEVICE = ("model", "context", "batch", "lengths", "cb", "pa", "fa")
"""The keys of the options that a device decides while none of them was chosen."""

MODELS = ("Qwen3-Next-80B-A3B", "Llama-3.1-8B", "Phi-3.5-mini", "Llama-3.2-1B", "SmolLM2-135M")
_LARGE, _MEDIUM, _SMALL, _TINY, _ = MODELS
_BY_SIZE = (
    (384, 2048, _LARGE),
    (192, 1024, _LARGE),
    (128, 750, _LARGE),
    (80, 512, _LARGE),
    (40, 256, _MEDIUM),
    (24, 128, _SMALL),
    (16, 64, _TINY),
    (0, 32, _TINY),
)
_BATCH_BY_SIZE = ((80, 8), (40, 4), (16, 2), (0, 1))
_LARGE_SRAM_GB = 10
_BATCHING_GB, _FLASH_GB = 24, 16
_STEP = 2**12
_NARROW = "int8"


class FirstChoice(NamedTuple):
    """A device's first scenario: ``context`` in tokens, and the catalogue's name of the ``model``.

    ``weight_format`` is that of the weights, empty where it is the default.
    """

    context: int
    batch: int
    model: str
    continuous_batching: bool
    paged_attention: bool
    flash_attention: bool
    weight_format: str = ""

    @property
    def values(self) -> dict[str, str | bool]:
        """The option values of that scenario, by key."""
        return {
            "model": self.model,
            "context": str(self.context),
            "batch": str(self.batch),
            "cb": self.continuous_batching,
            "pa": self.paged_attention,
            "fa": self.flash_attention,
            **({"weight_dtype": self.weight_format} if self.weight_format else {}),
        }


def defaults_for(device: DeviceSpec, given: Values | None = None) -> FirstChoice:
    """The first scenario on a kind of device: the class's model, or the first smaller one of the list that fits.

    ``given`` are values of further options that were chosen: a number of devices, an engine, formats.

    Of a model the class's batch is tried first, then half of it and so on, each at the longest context that fits: in
    steps of 4K, at most the class's and the model's own. An H100 has no room for Qwen3-Next-80B; eight sequences of
    Llama-3.1-8B fit with 60K tokens each. Where nothing fits, the least model is the answer, in narrow weights.
    """
    first, said = of_the_class(device), given or {}
    for model in MODELS[MODELS.index(first.model) :]:
        batch = first.batch
        if not _longest(first._replace(model=model, batch=1), device, said):
            continue
        while batch:
            choice = first._replace(model=model, batch=batch)
            context = _longest(choice, device, said)
            if context:
                return choice._replace(context=context)
            batch //= 2
    least = first._replace(model=MODELS[-1], batch=1, context=_STEP, weight_format=_NARROW)
    return least._replace(context=_longest(least, device, said) or _STEP)


def _longest(choice: FirstChoice, device: DeviceSpec, given: Values) -> int:
    """The longest context, in whole steps, with which ``choice`` fits; 0 where not even one step does.

    With an engine it is the longest one without it, less an eighth of it until the engine has room.
    """
    try:
        scenario = scenario_from({**given, "gpu": device.name, **choice.values, "context": str(_STEP)})
        scenario = scenario._replace(device=device)
        alone = scenario_from({**given, "engine": "none", **choice.values, "context": str(_STEP)})._replace(
            device=device
        )
    except InputError:
        return 0
    low, high = 0, min(choice.context, scenario.model.max_context or choice.context) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        if plan(alone._replace(context=middle * _STEP)).fits:
            low = middle
        else:
            high = middle - 1
    while scenario.engine != alone.engine and low and not plan(scenario._replace(context=low * _STEP)).fits:
        low = low * 7 // 8
    return low * _STEP


def of_the_class(device: DeviceSpec) -> FirstChoice:
    """The visualiser's table: what a device's class begins with, whether it fits or not."""
    size, kind = device.nominal_gb, device.memory.kind.upper()
    sram, stacked = kind.startswith("SRAM"), kind.startswith("HBM")
    thousands, model = next(row[1:] for row in _BY_SIZE if size >= row[0])
    by_size = next(batch for least, batch in _BATCH_BY_SIZE if size >= least)
    return FirstChoice(
        context=thousands * 2**10,
        batch=(2 if size > _LARGE_SRAM_GB else 1) if sram else by_size,
        model=model,
        continuous_batching=sram or stacked or size >= _BATCHING_GB,
        paged_attention=sram,
        flash_attention=sram or stacked or size >= _FLASH_GB,
    )
