"""The memory that vLLM has left for its cache, against the pools that real servers logged."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.scenario.values import scenario_from
from tests.paths import ROOT

spec = spec_from_file_location("pools", ROOT / "benchmarks" / "pools.py")
assert spec is not None
assert spec.loader is not None
pools = module_from_spec(spec)
spec.loader.exec_module(pools)

STARTS = {f"{number} {start.name}": start for number, start in enumerate(pools.starts())}
CONSISTENT = {name: start for name, start in STARTS.items() if not start.doubt}
EXPLAINED = {name: start for name, start in CONSISTENT.items() if "unexplained_beside" not in start.logged}
SURE = {name: start for name, start in EXPLAINED.items() if "unexplained_weights" not in start.logged}
WEIGHED = {name: start for name, start in EXPLAINED.items() if "weights" in start.logged}
PRINTED = {name: start for name, start in WEIGHED.items() if "activation" in start.logged}


@pytest.mark.parametrize("name", WEIGHED)
def test_with_the_logged_weights_the_pool_is_the_logged_one(name: str) -> None:
    """The budget beside the weights: within 5 % or 0.8 GiB; of quantised ones 8 % or 1 GiB."""
    start = WEIGHED[name]
    predicted, logged = start.predicted(start.logged["weights"]), start.logged["pool"]
    part, size = (0.08, 1.0) if start.quantised else (0.05, 0.8)
    assert abs(predicted - logged) <= max(part * logged, size)


@pytest.mark.parametrize("name", SURE)
def test_before_the_launch_the_pool_is_the_logged_one(name: str) -> None:
    """With the weights of the checkpoint format too: within 5 % or 0.8 GiB; of quantised ones 8 % or 1 GiB."""
    start = SURE[name]
    predicted, logged = start.predicted(), start.logged["pool"]
    part, size = (0.08, 1.0) if start.quantised else (0.05, 0.8)
    assert abs(predicted - logged) <= max(part * logged, size)


@pytest.mark.parametrize("name", PRINTED)
def test_activations_are_those_that_the_profile_run_printed(name: str) -> None:
    """Within 2.5 %: they follow from copies of logits, hidden states, workspaces and images."""
    start = PRINTED[name]
    predicted = start.divided(start.logged["weights"]).bytes_of("activation") / GIB
    assert predicted == pytest.approx(start.logged["activation"], rel=0.025)


def test_half_of_all_pools_are_right_to_a_hundredth() -> None:
    errors = sorted(
        abs(start.divided(start.logged["weights"]).pool / GIB / start.logged["pool"] - 1) for start in WEIGHED.values()
    )
    assert errors[len(errors) // 2] < 0.01


@pytest.mark.parametrize("values", [{}, {"tp": "2"}, {"model": "Mixtral-8x7B-v0.1", "tp": "2"}])
def test_a_pool_never_grows_with_what_is_run_at_once(values: dict[str, str]) -> None:
    """More sequences, more tokens of a step, or a heavier checkpoint leave less for the cache."""

    def pool(**more: str) -> int:
        found = tightest_budget(scenario_from({"engine": "vllm", "gpu": "H100 SXM", **values, **more}))
        assert found is not None
        return found.pool

    for option, steps in (
        ("max_seqs", ("1", "8", "64", "128", "256", "1024")),
        ("max_batched_tokens", ("512", "2048", "8192", "32768")),
        ("weight_dtype", ("fp8", "bf16", "fp32")),
    ):
        left = [pool(**{option: step}) for step in steps]
        assert left == sorted(left, reverse=True)


def test_graphs_are_not_captured_in_eager_mode() -> None:
    found = tightest_budget(scenario_from({"engine": "vllm@0.25", "eager": True}))
    assert found is not None
    assert found.bytes_of("graphs") == 0


def test_the_parts_of_a_device_add_up() -> None:
    """What is kept and the pool are what was asked for; before 0.20 graphs came on top."""
    for version in ("0.19", "0.25"):
        found = tightest_budget(scenario_from({"engine": f"vllm@{version}"}))
        assert found is not None
        assert found.pool + sum(term.bytes for term in found.terms) == found.requested
        least, most = found.pool_band
        assert least < found.pool < most
