"""Every engine answers every model, however its layers are mixed, or refuses it in one line."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.known import KNOWN
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.caches import Attention, Indexer, Latent, Recurrent, Shared, mamba2
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario
from tests.engine.serving.any_model import CACHES, scenarios
from tests.present import present

LATENT_WINDOW = Latent(16, 448, 64, 584, 1, 128)
WINDOW = Attention("sliding_window", 16, 2, 192, 128, 512)
STATE = mamba2(64, 64, 128, 8, 4, "bf16")


def of(*layers: Layer) -> Scenario:
    model = ModelSpec("mine", "models.toml", "L", layers, None, None, None, None, None, "stated")
    return Scenario(model, find_device("H100 SXM"), 8192, kv_pool=GIB, skip_weights=True, engine="vllm")


def test_windows_of_two_kinds_and_nothing_that_keeps_every_token() -> None:
    """Pages of 16,384 and 20,480 bytes: the former are padded, and three latents to the four of the windows."""
    found = present(serve(of(*[Layer((LATENT_WINDOW,))] * 3, *[Layer((WINDOW,))] * 4)))
    assert (found.groups, found.bytes_per_block, found.bytes_per_token) == (2, 4 * 20_480, 0)
    assert [(s.kind, s.groups, s.layers) for s in found.shares] == [
        ("sliding_window_latent", 1, 3),
        ("sliding_window", 1, 4),
    ]
    assert (found.padding_layers, found.max_context) == (1, None)


def test_windowed_latents_beside_states_alone() -> None:
    found = present(serve(of(Layer((LATENT_WINDOW,)), Layer((STATE,)), Layer((WINDOW,)))))
    assert {share.kind for share in found.shares} == {"sliding_window_latent", "mamba2", "sliding_window"}
    assert found.blocks == GIB // present(found.bytes_per_block)


@pytest.mark.parametrize("cache", CACHES, ids=lambda cache: cache.kind)
@pytest.mark.parametrize("engine", [known.name for known in KNOWN])
def test_a_model_of_one_kind_of_cache(engine: str, cache: Attention | Indexer | Latent | Recurrent | Shared) -> None:
    """llama.cpp keeps no cache for cross-attention; all else is served."""
    refused = engine == "llama.cpp" and cache.kind == "cross_attention"
    with pytest.raises(InputError, match="cross-attention") if refused else nullcontext():
        assert isinstance(serve(of(*[Layer((cache,))] * 3)._replace(engine=engine)), Serving)


@given(st.data())
@settings(max_examples=300)
def test_any_mixture_is_served_or_refused_in_one_line(data: DataObject) -> None:
    refusal = ""
    try:
        scenario = data.draw(scenarios())
        found = present(serve(scenario))
    except InputError as error:
        refusal = str(error)
    if refusal:
        event("refused")
        assert "\n" not in refusal
        return
    event(scenario.engine)
    assert found.engine == scenario.engine
    counts = [value for value in found if isinstance(value, int)]
    assert min(counts) >= 0
    assert found.max_concurrency >= 0
    assert not (found.fits and found.max_sequences) or present(found.needed_bytes) <= found.pool_bytes
    assert found.check_decides or not found.fits or present(found.needed_bytes) <= found.pool_bytes
    assert all(text and "\n" not in text for text in (*found.refusals, *found.notes))
    assert found.max_context_limit
    assert found.max_sequences_limit
