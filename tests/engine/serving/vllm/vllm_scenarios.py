"""Scenarios of every model, format and layout that vLLM can have, drawn for the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import Layout, Scenario, ServingOptions, valid_tps
from kvtui.engine.serving.vllm.releases import KV_FORMATS

MODELS = all_models()
VERSIONS = ("0.8", "0.11", "0.13", "0.15", "0.18", "0.20", "0.21", "0.24", "0.26", "0.28", "0.30", "")
DEVICES = tuple(map(find_device, ("RTX 4090", "A100 80GB SXM", "H100 SXM", "B200", "Instinct MI300X")))


def formats_of(model: ModelSpec) -> tuple[str, ...]:
    """Cache formats that both vLLM and ``model`` have."""
    return tuple(name for name in KV_FORMATS if _holds(model, name))


def _holds(model: ModelSpec, name: str) -> bool:
    try:
        for cache, _ in model.caches:
            cache.entry_bytes(FORMATS[name], 1)
    except InputError:
        return False
    return True


@st.composite
def vllm_scenarios(draw: st.DrawFn, stages: bool = True) -> Scenario:
    model = draw(st.sampled_from(MODELS))
    tp = draw(st.sampled_from([tp for tp in valid_tps(model) if tp <= 16]))
    layers = len(model.layers)
    pp = draw(st.integers(1, min(4, layers))) if stages else 1
    partition = None
    if pp > 1 and draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(1, layers - 1), min_size=pp - 1, max_size=pp - 1, unique=True)))
        partition = tuple(end - start for start, end in zip([0, *cuts], [*cuts, layers], strict=True))
    drafts = draw(st.integers(0, 2))
    return Scenario(
        model=model,
        device=draw(st.sampled_from(DEVICES)),
        context=draw(st.integers(1, 2**20) | st.sampled_from([1, 16, 127, 128, 129, 4096, 131_072])),
        layout=Layout(tp, pp),
        kv_dtype=draw(st.sampled_from(formats_of(model))),
        block_size=draw(st.sampled_from([16, 16, 16, 32, 64, 256])),
        max_batched_tokens=draw(st.sampled_from([512, 2048, 8192, 16_384])),
        speculative_tokens=draw(st.integers(0, 5)) if model.mtp or drafts else 0,
        skip_weights=True,
        kv_pool=draw(st.integers(1, 80 * 1024)) * MIB,
        engine="vllm",
        serving=ServingOptions(
            version=draw(st.sampled_from(VERSIONS)),
            max_seqs=draw(st.none() | st.integers(1, 2000)),
            prefix_caching=draw(st.none() | st.booleans()),
            hybrid_manager=draw(st.none() | st.booleans()),
            partition=partition,
            draft_layers=drafts,
        ),
    )
