"""Models that nobody has built yet: random layers over every kind of cache, drawn for the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.known import KNOWN, defaults, kv_formats, parse_engine, span
from kvtui.engine.model.caches import (
    Attention,
    Cache,
    Indexer,
    Latent,
    Shared,
    gated_deltanet,
    kda,
    lightning,
    mamba1,
    mamba2,
    short_conv,
)
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.scenario.scenario import Layout, Scenario, ServingOptions
from tests.present import present

FULL = Attention("full", 16, 4, 128, 128)
CACHES: tuple[Cache, ...] = (
    FULL,
    Attention("full", 16, 2, 192, 128),
    Attention("sliding_window", 16, 4, 128, 128, 512),
    Attention("sliding_window", 16, 8, 64, 64, 1024),
    Attention("chunked_local", 16, 4, 128, 128, 8192),
    Attention("cross_attention", 16, 16, 64, 64, 1500),
    Latent(16, 512, 64, 656),
    Latent(16, 256, 32),
    Latent(16, 448, 64, 584, 4),
    Latent(16, 448, 64, 584, 128),
    Latent(16, 448, 64, 584, 1, 128),
    Latent(16, 448, 64, 584, 4, 64),
    Indexer(64, 128, 132, 2048),
    Indexer(64, 128, 132, 512, 4),
    gated_deltanet(16, 32, 128, 128, 4),
    gated_deltanet(16, 32, 128, 128, 4, "bf16", declared=False),
    kda(16, 128, 4),
    mamba1(4096, 16, 4, "fp32"),
    mamba2(64, 64, 128, 8, 4, "bf16"),
    lightning(16, 128, "fp32"),
    short_conv(2048, 3),
    Shared(FULL),
)
LAYERS = st.lists(st.sampled_from(CACHES), max_size=2, unique=True).map(lambda caches: Layer(tuple(caches)))
DEVICES = tuple(map(find_device, ("RTX 4090", "H100 SXM", "B200", "Instinct MI300X")))
ENGINES = tuple(
    dict.fromkeys(
        f"{known.name}@{version}" if version else known.name
        for known in KNOWN
        for version in ("", span(known.name).oldest, span(known.name).example)
    )
)


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    """A model of few kinds of layers, each of them several times."""
    kinds = draw(st.lists(LAYERS, min_size=1, max_size=4))
    layers = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=12))
    mtp = draw(st.just([]) | st.lists(st.sampled_from(kinds), max_size=2))
    return ModelSpec(
        name="any",
        source="a test",
        confidence="L",
        layers=tuple(layers),
        hidden=draw(st.sampled_from([None, 2048])),
        vocab=draw(st.sampled_from([None, 32_000])),
        max_context=None,
        parameters=draw(st.sampled_from([None, 10**9])),
        active_parameters=None,
        parameters_from="stated",
        mtp=tuple(mtp),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A scenario of any engine; raises InputError as ``Scenario`` does where the parts contradict each other."""
    model, engine = draw(models()), parse_engine(draw(st.sampled_from(ENGINES)))
    device = draw(st.sampled_from(DEVICES))
    chosen = defaults(engine, model, device, "bf16")
    drafts = draw(st.integers(0, 2))
    return Scenario(
        model=model,
        device=device,
        context=draw(st.integers(1, 2**20)),
        batch=draw(st.integers(1, 64)),
        layout=Layout(draw(st.sampled_from([1, 1, 2, 4, 8])), draw(st.integers(1, min(4, len(model.layers))))),
        kv_dtype=draw(st.sampled_from(present(kv_formats(engine.name)))),
        flash_attention=draw(st.booleans()),
        skip_weights=draw(st.booleans()),
        block_size=draw(st.sampled_from([chosen.block_size, chosen.block_size, 1, 16, 64, 256])),
        max_batched_tokens=draw(st.sampled_from([chosen.max_batched_tokens, 512])),
        memory_utilization=chosen.memory_utilization,
        speculative_tokens=draw(st.integers(0, 3)) if model.mtp or drafts else 0,
        kv_pool=draw(st.none() | st.integers(1, 80 * 1024).map(lambda mib: mib * MIB) | st.integers(1, 10**6)),
        engine=engine.name,
        serving=ServingOptions(
            version=engine.version,
            max_seqs=draw(st.none() | st.integers(1, 2000)),
            prefix_caching=draw(st.none() | st.booleans()),
            parallel=draw(st.none() | st.integers(1, 8)),
            swa_full=draw(st.booleans()),
            hybrid_manager=draw(st.none() | st.booleans()),
            draft_layers=drafts,
        ),
    )
