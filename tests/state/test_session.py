"""The session: one scenario, changed by keys and by typing, that never ends up invalid and tells who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.starting import defaults_for
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import ScenarioChange, Session


def session(**values: str | bool) -> Session:
    return Session(scenario_from(values))


def changes(of: Session) -> list[ScenarioChange]:
    heard: list[ScenarioChange] = []
    of.subscribe(heard.append)
    return heard


def test_answers_follow_the_scenario() -> None:
    one = session()
    before = one.plan
    assert one.plan is before
    one.change(context=65_536)
    assert one.plan == plan(one.scenario)
    assert one.plan.total.kv == 8 * before.total.kv
    assert one.notices is one.notices
    assert {e.id for e in one.explanations} >= {"weights", "total"}
    assert one.capacity.context is not None
    assert one.estimate.decode_ms is not None


def test_a_refused_change_changes_nothing_and_tells_nobody() -> None:
    one = session()
    heard, before = changes(one), one.scenario
    for wrong in ({"context": 0}, {"batch": -1}, {"kv_dtype": "fp9"}, {"speculative_tokens": 2}):
        with pytest.raises(InputError):
            one.change(**wrong)
    assert one.scenario is before
    assert heard == []


def test_changes_are_taken_back_and_made_again_until_there_is_another() -> None:
    one = session()
    first = one.scenario
    heard = changes(one)
    one.change(batch=2)
    one.set_text("context", "16K")
    second = one.scenario
    one.undo()
    assert one.scenario.batch == 2
    one.undo()
    assert one.scenario is first
    assert not one.can_undo
    one.undo()
    one.redo()
    one.redo()
    assert one.scenario is second
    assert not one.can_redo
    assert [change.after.context for change in heard] == [8192, 16384, 8192, 8192, 8192, 16384]
    one.undo()
    one.change(batch=4)
    assert not one.can_redo
    one.change(batch=4)
    one.undo()
    assert one.scenario.batch == 2, "what changed nothing is no step"


def test_a_step_back_brings_back_what_follows_the_device() -> None:
    one = Session(scenario_from({}), follows_device=True)
    one.change(batch=3)
    assert not one.follows_device
    one.undo()
    assert one.follows_device


def test_listeners_hear_before_and_after_until_they_leave() -> None:
    one = session()
    heard: list[ScenarioChange] = []
    leave = one.subscribe(heard.append)
    one.change(batch=2)
    leave()
    leave()
    one.change(batch=4)
    [change] = heard
    assert (change.before.batch, change.after.batch, change.notes) == (1, 2, ())


@pytest.mark.parametrize(
    ("key", "text", "field", "expected"),
    [
        ("context", "1M", "context", 2**20),
        ("batch", "16", "batch", 16),
        ("kv-dtype", "fp8", "kv_dtype", "fp8"),
        ("kv dtype", "FP8", "kv_dtype", "fp8"),
        ("--kv-dtype", "float16", "kv_dtype", "fp16"),
        ("dtype", "int4", "weight_dtype", "int4"),
        ("dtype", "int4", "kv_dtype", "int4"),
        ("cb", "on", "continuous_batching", True),
        ("cb", "", "continuous_batching", True),
        ("fa", "off", "flash_attention", False),
        ("skip-weights", "yes", "skip_weights", True),
        ("kv-pool", "5.33GiB", "kv_pool", int(5.33 * 2**30)),
        ("gpu-memory-utilization", "0.9", "memory_utilization", 0.9),
        ("lengths", "100,200", "lengths", (100, 200)),
        ("lengths", "100,200", "batch", 2),
        ("lengths", "100,90000", "context", 90_000),
        ("lengths", "100,200", "context", 8192),
    ],
)
def test_typed_options(key: str, text: str, field: str, expected: float | str | tuple[int, int]) -> None:
    one = session()
    one.set_text(key, text)
    assert getattr(one.scenario, field) == expected


def test_typed_names() -> None:
    one = session()
    one.set_text("model", "qwen3-8b")
    assert one.scenario.model.name == "Qwen3-8B"
    one.set_text("gpu", "h200")
    assert one.scenario.device.name == "H200 SXM"
    one.set_text("devices", "4")
    assert one.scenario.layout.tp == 4
    one.set_text("pp", "2")
    assert (one.scenario.layout.tp, one.scenario.layout.pp) == (4, 2)


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("contxt", "1M", "context"),
        ("cb", "maybe", "value of cb"),
        ("model", "Lama-3.1-8B", "Llama-3.1-8B"),
        ("gpu", "H100 SMX", "H100 SXM"),
        ("tp", "3", "3"),
        ("context", "1Q", "1Q"),
        ("shared-prefix", "100", "paged"),
        ("batch", "\x1b[31m", "batch"),
    ],
)
def test_typed_nonsense_is_one_line(key: str, text: str, hint: str) -> None:
    one = session()
    before = one.scenario
    with pytest.raises(InputError) as caught:
        one.set_text(key, text)
    assert hint in str(caught.value)
    assert str(caught.value).isprintable()
    assert one.scenario is before


def test_typing_drops_what_it_contradicts() -> None:
    one = session(lengths="100,200", pa=True, shared_prefix="64")
    heard = changes(one)
    one.set_text("batch", "4")
    assert one.scenario.lengths is None
    assert heard[-1].notes
    one.set_text("lengths", "default")
    assert (one.scenario.lengths, one.scenario.batch) == (None, 4)


def test_preview_only_looks() -> None:
    one = session()
    before = one.scenario
    assert one.preview("context", "2M").after.context == 2**21
    assert one.scenario is before
    with pytest.raises(UnknownName):
        one.preview("kv-dtype", "fp9")


def test_weights_come_back_after_a_model_without_a_count() -> None:
    one = session()
    unknown = next(model for model in all_models() if model.parameters is None)
    one.set_model(unknown)
    assert one.scenario.skip_weights
    one.set_model(find_model("Qwen3-8B"))
    assert not one.scenario.skip_weights
    one.toggle("skip_weights")
    one.set_model(unknown)
    one.set_model(find_model("Qwen3-8B"))
    assert one.scenario.skip_weights
    with pytest.raises(InputError):
        Session(one.scenario).change(model=unknown, skip_weights=False)


def test_a_format_of_weights_or_cache_changes_alone() -> None:
    one = session()
    one.change(weight_dtype="q4_k_m")
    assert one.scenario.kv_dtype == "bf16"
    one.change(kv_dtype="fp8")
    assert (one.scenario.weight_dtype, one.scenario.kv_dtype) == ("q4_k_m", "fp8")


def test_presets_in_turn() -> None:
    one = session(batch="3", context="100000")
    one.step_batch(1)
    assert one.scenario.batch == 4
    one.step_batch(-1)
    assert one.scenario.batch == 2
    one.step_context(1)
    assert one.scenario.context == 100 * 1024
    one.step_context(-1)
    assert one.scenario.context == 64 * 1024


def test_device_counts_in_turn() -> None:
    one = session()
    counts = []
    for _ in range(8):
        one.step_devices(1)
        counts.append(one.scenario.layout.devices)
    assert counts == [2, 4, 8, 16, 32, 64, 128, 128]
    one.step_devices(-1)
    assert one.scenario.layout.devices == 64


def test_fills_in_turn() -> None:
    one = session(batch="8", cb="on")
    seen = []
    for by in (1, 1, 1, -1, -1, -1):
        one.step_fill(by)
        seen.append(one.scenario.fill)
    assert seen == ["average", "30%", "30%", "average", "full", "full"]


def test_defaults_follow_the_device_until_something_is_chosen() -> None:
    first = find_device("H100 SXM")
    one = Session(scenario_from({"model": defaults_for(first).model}), follows_device=True)
    heard = changes(one)
    one.set_device(find_device("RTX 4090"))
    expected = defaults_for(find_device("RTX 4090"))
    assert one.scenario.model.name == find_model(expected.model).name
    assert (one.scenario.context, one.scenario.batch) == (expected.context, expected.batch)
    assert any("RTX 4090" in note and expected.model in note for note in heard[-1].notes)
    one.change(batch=5)
    one.set_device(find_device("B200"))
    assert (one.scenario.context, one.scenario.batch) == (expected.context, 5)


def test_without_following_a_device_changes_nothing_else() -> None:
    one = session(batch="3", context="12345")
    one.set_device(find_device("RTX 4090"))
    assert (one.scenario.context, one.scenario.batch) == (12_345, 3)


ACTIONS = st.sampled_from(
    [
        lambda s: s.set_model(find_model("DeepSeek-V3.2")),
        lambda s: s.set_device(find_device("RTX 4090")),
        lambda s: s.change(weight_dtype="fp8"),
        lambda s: s.change(kv_dtype="q8_0"),
        lambda s: s.step_fill(1),
        lambda s: s.step_batch(1),
        lambda s: s.step_batch(-1),
        lambda s: s.step_context(-1),
        lambda s: s.step_devices(1),
        lambda s: s.toggle("continuous_batching"),
        lambda s: s.toggle("paged_attention"),
        lambda s: s.toggle("flash_attention"),
    ]
)


@given(actions=st.lists(ACTIONS, max_size=12), start=st.sampled_from(all_models()), follows=st.booleans())
def test_no_sequence_of_keys_fails(actions: list[Callable[..., Any]], start: ModelSpec, follows: bool) -> None:
    one = Session(scenario_from({}), follows_device=follows)
    one.set_model(start)
    for action in actions:
        action(one)
        assert one.plan.scenario is one.scenario


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Llama-3.3-70B", "Llama-3.3-70B is planned as Llama-3.1-70B, which has its shape"),
        (
            "meta-llama/Llama-3.3-70B-Instruct",
            "Llama-3.3-70B-Instruct is planned as Llama-3.1-70B, which has its shape",
        ),
        ("Llama-3.1-70B", ""),
        ("meta-llama/Llama-3.1-70B", ""),
    ],
)
def test_a_model_under_another_ones_name_is_said(asked: str, said: str) -> None:
    one, notes = session(), list[str]()
    one.subscribe(lambda change: notes.extend(change.notes))
    one.set_text("model", asked)
    assert [note for note in notes if "planned as" in note] == ([said] if said else [])
