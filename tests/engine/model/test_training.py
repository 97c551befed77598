"""Training memory: against the papers' own sums, real arrays of a real step, and what PyTorch was seen to keep."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model import parameters as parts
from kvtui.engine.model.catalogue import all_models, get_model
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.model.tensors import weight_count
from kvtui.engine.model.training import (
    OPTIMIZERS,
    PRECISIONS,
    TrainingSetup,
    activation_bytes,
    state_elements,
    training_memory,
)


def model_of(
    layers: int, hidden: int, heads: int, width: int, vocab: int, *, gpt: bool, kv_heads: int = 0
) -> ModelSpec:
    """GPT's layer (LayerNorms, GELU, biases) or Llama's (RMSNorms, SwiGLU), with a tied head."""
    dim = hidden // heads
    attention = parts.attention(hidden, heads, kv_heads or heads, dim, dim, qkv_bias=gpt, out_bias=gpt)
    block = (*attention, *parts.mlp(hidden, width, gated=not gpt, bias=gpt), *parts.norms(hidden, 2, bias=gpt))
    outside = (*parts.embeddings(vocab, hidden, tied=True), *parts.norms(hidden, bias=gpt))
    model = ModelSpec(
        *("made", "test", "H", (Layer(tensors=block, width=width),) * layers, hidden, vocab, None, None, None, "shape"),
        outside=outside,
    )
    return parts.counted(model)


def known() -> list[ModelSpec]:
    found = []
    for model in all_models():
        try:
            training_memory(model, TrainingSetup())
        except InputError:
            continue
        found.append(model)
    return found


def llama() -> ModelSpec:
    model = get_model("Llama-3.1-8B")
    assert model is not None
    return model


def test_a_gpt_layer_keeps_what_the_paper_says_without_dropout() -> None:
    """Korthikanti et al. 2022: s·b·h·(34 + 5·a·s/h), of which 2 are dropout's masks and 3·a·s/h those of the scores."""
    hidden, heads, tokens, batch = 256, 8, 128, 3
    setup = TrainingSetup(batch, tokens, fused_attention=False)
    one, two = (activation_bytes(model_of(n, hidden, heads, 4 * hidden, 64, gpt=True), setup)[0] for n in (1, 2))
    statistics = 2 * 2 * 4  # mean and deviation of two LayerNorms, which the paper leaves out as small
    assert two - one == tokens * batch * (
        34 * hidden + 5 * heads * tokens - 2 * hidden - 3 * heads * tokens + statistics
    )


def test_a_llama_layer_keeps_what_pytorch_was_seen_to_keep() -> None:
    """SmolLM2-135M's layer in fp32, by hooks on saved tensors: 44,588 bytes a token, of which 2 · 2,304 are kept only
    because RMSNorm is not fused on a CPU (benchmarks/training.py)."""
    made = [model_of(n, 576, 9, 1536, 64, gpt=False, kv_heads=3) for n in (1, 2)]
    one, two = (activation_bytes(model, TrainingSetup(1, 1, precision="fp32"))[0] for model in made)
    assert two - one == 44_588 - 2 * 2_304


@pytest.mark.parametrize(("stage", "bytes_of_64"), [(0, 16 * 64), (1, 4 * 64 + 12), (2, 2 * 64 + 14), (3, 16)])
def test_zero_shards_as_its_paper_says(stage: int, bytes_of_64: int) -> None:
    """Rajbhandari et al. 2019, figure 1: Adam, mixed precision, 64 devices; 120, 31.4, 16.6 and 1.9 GB of 7.5 B."""
    model = model_of(4, 256, 8, 1024, 128, gpt=True)
    found = training_memory(model, TrainingSetup(stage=stage, devices=64))
    assert found.resting + found.gradients == pytest.approx(bytes_of_64 * (model.parameters or 0) / 64, abs=64 * 16)


def test_weights_are_the_models_own() -> None:
    for model in known():
        assert training_memory(model, TrainingSetup()).weights == 2 * (model.parameters or 0)


def test_layers_that_are_not_known_are_named() -> None:
    model = next(m for m in all_models() if m.name.startswith("Qwen3-Next"))
    with pytest.raises(InputError, match=r"recurrent_in"):
        training_memory(model, TrainingSetup())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_a_real_step_are_as_predicted(name: str) -> None:
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    model = model_of(2, 32, 4, 64, 48, gpt=False, kv_heads=2)
    tensors = [t for layer in model.layers for t in layer.tensors or ()] + list(model.outside)
    shapes = [(t.rows, t.columns) if t.rows > 1 else (t.columns,) for t in tensors for _ in range(t.number)]
    weights = [jax.numpy.ones(shape) for shape in shapes]
    made = {
        "sgd": lambda: optax.sgd(0.1),
        "momentum": lambda: optax.sgd(0.1, momentum=0.9),
        "adam": lambda: optax.adam(0.1),
        "adamw": lambda: optax.adamw(0.1),
        "lion": lambda: optax.lion(0.1),
        "adafactor": lambda: optax.adafactor(0.1, min_dim_size_to_factor=1),
    }[name]()

    def step(weights: Any, state: Any) -> Any:
        gradients = jax.grad(lambda w: sum((leaf**2).sum() for leaf in w))(weights)
        updates, state = made.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state, gradients

    new, state, gradients = jax.jit(step)(weights, made.init(weights))
    held = {what: sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) for what, tree in (("w", new), ("g", gradients))}
    found = training_memory(model, TrainingSetup(optimizer=name, precision="fp32"))
    assert (held["w"], held["g"]) == (found.weights, found.gradients)
    assert found.states == sum(leaf.nbytes for leaf in jax.tree.leaves(state) if leaf.size > 1)


def test_adafactor_keeps_a_row_and_a_column_of_each_expert() -> None:
    model = next(m for m in all_models() if m.name.startswith("Mixtral-8x7B"))
    experts = model.layers[0].experts
    assert experts is not None
    assert state_elements(experts.tensors, "adafactor") == 3 * (4096 + 14_336)


@given(
    st.sampled_from(list(PRECISIONS)),
    st.sampled_from(list(OPTIMIZERS)),
    st.integers(2, 5000),
    st.integers(1, 8),
    st.booleans(),
)
def test_sharding_and_checkpointing_never_cost_more_than_they_must(
    precision: str, optimizer: str, devices: int, batch: int, accumulate: bool
) -> None:
    setup = TrainingSetup(batch, 512, optimizer, precision, devices=devices, accumulate=accumulate)
    found = [training_memory(llama(), setup._replace(stage=stage)) for stage in (0, 1, 2, 3)]
    assert sorted((one.resting for one in found), reverse=True) == [one.resting for one in found]
    assert all(a.gradients >= b.gradients for a, b in pairwise(found))
    assert all(one.peak >= one.resting + one.activations for one in found)
    assert training_memory(llama(), setup._replace(devices=1)) == found[0]
    again = training_memory(llama(), setup._replace(checkpointing="full"))
    assert again.activations < found[0].activations
    assert again.recomputed < found[0].activations
    weights = weight_count(t for layer in llama().layers for t in layer.tensors or ())
    assert found[3].weights * devices >= weights * PRECISIONS[precision].weight
