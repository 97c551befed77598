"""Probes of the machine: plausible, labelled with the size they read, and true about the host."""

from __future__ import annotations

import json
import os
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench import probe
from tests.present import present


def test_bandwidth_lies_within_reason_and_names_its_working_set() -> None:
    rung = probe.read_bandwidth(3 * 2**20, tries=3)
    assert rung.bytes == 4 * 2**20
    assert 0.1 < rung.gbs < 100_000


def test_bandwidth_is_the_order_that_numpy_sees() -> None:
    import time

    size = 32 * 2**20
    array = np.ones(size // 4, np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        array.sum()
        seconds.append(time.perf_counter() - started)
    assert 0.2 < probe.read_bandwidth(size).gbs / (size / min(seconds) / 1e9) < 40


@given(st.integers(0, 2**50))
def test_working_sets_are_powers_of_two_within_bounds(size: int) -> None:
    rounded = probe.working_set(size)
    assert rounded.bit_count() == 1
    assert probe.LEAST <= rounded <= probe.MOST


@given(st.integers(probe.LEAST, probe.MOST))
def test_working_sets_within_bounds_are_rounded_to_the_nearest(size: int) -> None:
    rounded = probe.working_set(size)
    assert rounded / 1.42 <= size <= rounded * 1.42


def test_the_probe_reads_all_it_claims_to_read() -> None:
    matrix, vector = np.zeros((256, 1024), np.float32), np.ones(1024, np.float32)
    program = probe._read.lower(matrix, vector, 1).compile()
    assert present(program.cost_analysis())["bytes accessed"] >= matrix.nbytes


def test_matmul_rates_by_dtype() -> None:
    rates = [probe.matmul_peak(dtype) for dtype in ("fp32", "bf16")]
    assert all(0.1 < rate < 1e7 for rate in rates)
    assert probe.matmul_peak("fp32") == rates[0]


def test_host_says_where_it_was_measured() -> None:
    found = json.loads(json.dumps(probe.host(), allow_nan=False))
    assert found["cores"] >= 1
    assert found["cpu_model"]
    assert found["platform"] == jax.devices()[0].platform
    assert found["jax"] == jax.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_host_says_how_much_memory_it_has() -> None:
    assert probe.host()["memory_bytes"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_flags_are_recorded_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_a\x1b[31m")
    assert probe.host()["xla_flags"] == "--xla_a\N{REPLACEMENT CHARACTER}[31m"
    monkeypatch.delenv("XLA_FLAGS")
    assert probe.host()["xla_flags"] is None
