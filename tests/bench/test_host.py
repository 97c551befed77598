"""What is said of the machine, on this one and on others' descriptions."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvtui.bench import host
from tests.present import present

EPYC = "processor\t: 0\nmodel name\t: EPYC \x1b[1m\nflags\t\t: avx2\n\nprocessor\t: 1\nmodel name\t: other\n"


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Puts a text in the place of Linux's description of the processor."""

    def put(text: str | None) -> None:
        path = tmp_path / "cpuinfo"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        monkeypatch.setattr(host, "CPUINFO", path)
        host._cpuinfo.cache_clear()

    yield put
    host._cpuinfo.cache_clear()


def test_the_first_processor_has_the_say(described: Callable[..., Any]) -> None:
    described(EPYC)
    assert host.cpu_model() == "EPYC \N{REPLACEMENT CHARACTER}[1m"


def test_without_a_description_there_is_still_a_name(described: Callable[..., Any]) -> None:
    described(None)
    assert host.cpu_model() == (platform.processor() or platform.machine())


def test_other_instructions_are_another_processor(described: Callable[..., Any]) -> None:
    names = []
    for text in (EPYC, EPYC.replace("avx2", "avx512f"), EPYC.replace("EPYC", "Xeon"), EPYC):
        described(text)
        names.append(host.cpu_identity())
    assert len(set(names)) == 3
    assert names[0] == names[3]


def test_cores_and_memory_are_the_systems_own() -> None:
    assert 1 <= host.usable_cores() <= present(os.cpu_count())
    assert present(host.memory_bytes()) > 2**28


def test_machines_are_accelerators_or_processors_with_their_cores_alike_ones_once() -> None:
    alike = {"host": "a", "platform": "cpu", "cpu_model": "EPYC", "cores": 2}
    card = {"host": "c", "platform": "gpu", "device_kind": "NVIDIA H200", "cpu_model": "EPYC", "cores": 16}
    assert host.machines({"hosts": [alike, alike | {"host": "b"}, card, {}, "?"]}) == ("EPYC, 2 cores", "NVIDIA H200")
    assert host.machines({"host": alike | {"cores": 1}}) == ("EPYC, 1 core",)
    assert host.machines({}) == ()
    assert host.machine_stamp({"host": "a\x1b[31m\n", "cores": True}) == {
        "host": "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}",
        "machine": None,
    }
