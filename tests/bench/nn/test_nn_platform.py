"""How rows are multiplied: every way gives the same, and the faster one is chosen and remembered."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.nn import platform, trial


@pytest.mark.parametrize("inputs", [1, 2, 7, 64])
def test_a_sum_of_products_is_numpys(inputs: int) -> None:
    random = np.random.default_rng(inputs)
    left, right = random.standard_normal((3, 1, inputs)), random.standard_normal((3, 5, inputs))
    narrow = jnp.asarray(left, jnp.bfloat16), jnp.asarray(right, jnp.bfloat16)
    exact = np.sum(np.asarray(narrow[0], np.float64) * np.asarray(narrow[1], np.float64), axis=-1)
    run = jax.jit(platform.summed, compiler_options=platform.compiler_options())
    np.testing.assert_allclose(np.asarray(run(*narrow)), exact, atol=1e-5)


def test_bits_are_the_rows_themselves() -> None:
    rows = jnp.asarray([0.0, -0.0, 1.5, -3e38, 1e-40, jnp.inf, jnp.nan], jnp.bfloat16)
    back = platform.floats_of(platform.bits_of(rows)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(np.asarray(platform.bits_of(back)), np.asarray(rows).view(np.uint16))


def test_the_faster_way_is_found_within_a_trace_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIES", 2)
    monkeypatch.setattr(trial, "_folder", lambda: tmp_path / "new")

    def nap(given: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return given

    def slow(x: jax.Array) -> jax.Array:
        result: jax.Array = jax.pure_callback(nap, x, x)
        return result

    ways = {"slow": slow, "quick": jnp.sin}
    asked: list[str] = []

    @jax.jit
    def traced(x: jax.Array) -> jax.Array:
        asked.append(trial.fastest("way", ways, (np.ones(3, np.float32),), {}))
        return x

    traced(jnp.ones(2))
    assert asked == ["quick"]
    (note,) = (tmp_path / "new").iterdir()
    note.write_text("slow", "utf-8")
    assert trial.fastest("way", ways, (), {}) == "slow"
