"""The training loop: it learns, goes on from a checkpoint as if nothing had been, and refuses files of other models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.training import loop, runs, safetensors
from kvtui.bench.training.weights import load_model
from kvtui.cases.training import TrainingPlan
from kvtui.engine.basis.errors import InputError
from tests.nightly import NIGHTLY, nightly

PLAN = TrainingPlan("MLA-8", dim=16, heads=2, blocks=1, context=16, steps=40, batch=2, warmup=5, checkpoint_every=15)


class _StopError(Exception):
    """Ends a run in the middle."""


def train(plan: TrainingPlan, folder: Path, files: list[Path], stop: int = -1) -> list[Mapping[str, Any]]:
    """The events of a run, which ends behind the log's line of step ``stop``."""
    told: list[Mapping[str, Any]] = []

    def emit(event: Mapping[str, Any]) -> None:
        told.append(event)
        if event.get("step") == stop and event["event"] == "log":
            raise _StopError

    if not folder.exists():
        runs.begin(folder, plan, files, {})
    with suppress(_StopError):
        loop.train(plan, files, folder, emit)
    return told


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i % 7} and {i % 5} make what?\n" for i in range(200)))
    return [path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, text: list[Path]) -> runs.TrainingRun:
    folder = tmp_path_factory.mktemp("runs") / PLAN.name
    train(PLAN, folder, text)
    return runs.read_run(folder)


def test_a_run_learns_and_leaves_all_its_files(whole: runs.TrainingRun) -> None:
    log = whole.log()
    assert [row["step"] for row in log] == [10, 15, 20, 30, 40]
    assert (log[-1]["loss"] or 9) < (log[0]["loss"] or 0)
    assert max(row["learning_rate"] or 0 for row in log) <= PLAN.learning_rate
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        runs.CONFIG,
        runs.LOG,
        runs.SUMMARY,
        runs.WEIGHTS,
    ]
    summary = whole.summary or {}
    assert summary["val_loss"] == pytest.approx(log[-1]["val_loss"], abs=0.01)


def test_the_loss_of_the_kept_weights_is_repeatable(whole: runs.TrainingRun, text: list[Path]) -> None:
    model = load_model(whole.folder)
    texts = loop.texts_of(model.plan, tuple(text))
    loss = loop.validation_loss(model.shape, model.weights, texts.validation, PLAN.context)
    assert loss == pytest.approx((whole.summary or {})["val_loss"], rel=1e-6)


@pytest.mark.parametrize("stop", [10, 30])
def test_an_interrupted_run_ends_where_a_whole_one_does(
    tmp_path: Path, whole: runs.TrainingRun, text: list[Path], stop: int
) -> None:
    folder = tmp_path / PLAN.name
    train(PLAN, folder, text, stop)
    with (folder / runs.LOG).open("a") as log:
        log.write("31,0.5,")  # torn, as a kill leaves it
    told = train(PLAN, folder, text)
    assert told[0]["step"] == stop // 15 * 15
    mine, theirs = (safetensors.read(one / runs.WEIGHTS)[0] for one in (folder, whole.folder))
    for name, array in theirs.items():
        np.testing.assert_array_equal(mine[name], array)
    assert [row["step"] for row in runs.read_run(folder).log()] == [row["step"] for row in whole.log()]


def test_a_loss_that_is_no_number_ends_the_run(
    tmp_path: Path, text: list[Path], whole: runs.TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole.summary
    programs = loop._programs(PLAN.shape(107), loop._timeless(PLAN))
    blown = programs._replace(step=lambda weights, state, _: (weights, state, jnp.float32("nan")))
    monkeypatch.setattr(loop, "_programs", lambda *_: blown)
    with pytest.raises(InputError, match="not finite at step 10"):
        train(PLAN, tmp_path / "hot", text)


@pytest.mark.skipif(not NIGHTLY, reason="the gradient of routed experts takes long to compile")
def test_routed_experts_learn_too(tmp_path: Path, text: list[Path]) -> None:
    plan = replace(PLAN, attention="GQA-1", experts="2/1")
    train(plan, tmp_path / plan.name, text)
    log = runs.read_run(tmp_path / plan.name).log()
    assert (log[-1]["loss"] or 9) < (log[0]["loss"] or 0)


@nightly
def test_the_finder_raises_the_rate_until_the_loss_grows(text: list[Path]) -> None:
    told: list[Mapping[str, Any]] = []
    loop.find_learning_rate({"plan": PLAN.to_json(), "files": [str(path) for path in text]}, told.append)
    *tried, found = told
    rates = [event["learning_rate"] for event in tried]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(1e-5)
    losses = [event["loss"] for event in tried]
    assert all(loss <= 4 * min(losses[: i + 1]) for i, loss in enumerate(losses))
    assert 1e-5 < found["learning_rate"] < rates[losses.index(min(losses))]


def test_text_shorter_than_the_context_is_refused(tmp_path: Path, text: list[Path]) -> None:
    with pytest.raises(InputError, match="shorten the context"):
        train(replace(PLAN, context=1000), tmp_path / "long", text)


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path, text: list[Path]) -> None:
    folder = tmp_path / PLAN.name
    train(PLAN, folder, text, 20)
    with pytest.raises(InputError, match="of another model"):
        train(replace(PLAN, steps=50), folder, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "pt"}, "holds no model that kvtui trained"),
        ({"plan": "[]"}, "plan"),
        ({"plan": json.dumps({"attention": "\x1b[2J"})}, "attention"),
        ({"tokens": json.dumps({"characters": 1})}, "tokens"),
        ({"plan": json.dumps(replace(PLAN, dim=32).to_json())}, "expected"),
        ({"plan": json.dumps(replace(PLAN, blocks=2).to_json())}, "has no array"),
    ],
)
def test_foreign_files_are_refused_in_one_line(
    tmp_path: Path, whole: runs.TrainingRun, change: dict[str, str], said: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder)
    arrays, metadata = safetensors.read(folder / runs.WEIGHTS)
    safetensors.write(folder / runs.WEIGHTS, arrays, metadata | change)
    with pytest.raises(InputError, match=said) as error:
        load_model(folder)
    assert str(error.value).isprintable()
