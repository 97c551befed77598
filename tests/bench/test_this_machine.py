"""``--gpu local``: what a machine's tools and files say becomes options; nothing of the machine that runs the test."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench import this_machine
from kvtui.bench.this_machine import Reader, here, read_machine
from kvtui.commands.app import first
from kvtui.commands.known import CommandLine
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.device.machine import Machine, amd_card, amd_smi, apple, cpuinfo, meminfo, nvidia_smi, words
from kvtui.engine.scenario.values import command_line, scenario_from
from kvtui.state.session import Session
from tests.engine.sources.gguf.gguf_writing import HARMFUL

MEMINFO = "MemTotal:       65842068 kB\nMemFree:         1234 kB\n"
RYZEN = "processor\t: 0\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
EPYC = "processor\t: 0\nmodel name\t: AMD EPYC 9554 64-Core Processor\n"
AMD = [{"gpu": 0, "asic": {"market_name": "AMD Radeon RX 7900 XTX"}, "vram": {"size": {"value": 24560, "unit": "MB"}}}]


def reader(
    *,
    system: str = "linux",
    run: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    cards: Sequence[str] = (),
    nvml: str | None = None,
) -> Reader:
    said, held = run or {}, {"/proc/meminfo": MEMINFO, "/proc/cpuinfo": RYZEN, **(files or {})}
    return Reader(system, lambda command: said.get(command[0]), held.get, lambda: cards, lambda: nvml)


def card(device: str, memory: int) -> dict[str, str]:
    return {"c/vendor": "0x1002\n", "c/device": f"{device}\n", "c/mem_info_vram_total": f"{memory}\n"}


MACHINES = {
    "two 3090": (
        reader(run={"nvidia-smi": "NVIDIA GeForce RTX 3090, 24576\nNVIDIA GeForce RTX 3090, 24576\n"}),
        {"gpu": "RTX 3090", "gpus": "2", "ram": "62GiB"},
    ),
    "NVML before nvidia-smi": (
        reader(run={"nvidia-smi": "NVIDIA T4, 15360"}, nvml="NVIDIA GeForce RTX 4060 Laptop GPU, 8188"),
        {"gpu": "RTX 4060 Laptop", "ram": "62GiB"},
    ),
    "a name with two sizes": (
        reader(nvml="NVIDIA GeForce RTX 3060, 8192"),
        {"gpu": "RTX 3060 8GB", "ram": "62GiB"},
    ),
    "the best of a mixture": (
        reader(nvml="NVIDIA GeForce RTX 3060, 12288\nNVIDIA GeForce RTX 4090, 24564"),
        {"gpu": "RTX 4090", "ram": "62GiB"},
    ),
    "a card that has been given more memory": (
        reader(nvml="NVIDIA GeForce RTX 4090, 49140"),
        {"gpu": "RTX 4090", "memory": "48GiB", "ram": "62GiB"},
    ),
    "a Spark": (reader(nvml="NVIDIA GB10, not told"), {"gpu": "DGX Spark"}),
    "a Radeon by amd-smi": (
        reader(run={"amd-smi": json.dumps({"gpu_data": AMD})}),
        {"gpu": "RX 7900 XTX", "ram": "62GiB"},
    ),
    "a Radeon by sysfs": (
        reader(files=card("0x747e", 16 * GIB - 16 * 2**20), cards=["c"]),
        {"gpu": "RX 7800 XT", "ram": "62GiB"},
    ),
    "a Strix Halo": (
        reader(files={**card("0x1586", GIB // 2), "/proc/meminfo": "MemTotal: 131000000 kB"}, cards=["c"]),
        {"gpu": "Ryzen AI Max+ 395"},
    ),
    "a Mac": (
        reader(system="darwin", run={"sysctl": "Apple M4 Max\n68719476736\n"}),
        {"gpu": "Apple M4 Max 64GB"},
    ),
    "no accelerator": (
        reader(files={"/proc/cpuinfo": EPYC}),
        {"gpu": "CPU DDR5-4800 12-channel", "memory": "62GiB"},
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_in_words(name: str) -> None:
    asked, wanted = MACHINES[name]
    said = words(read_machine(asked))
    assert said == wanted
    scenario = scenario_from({**said, "model": "Llama-3.2-1B"})
    assert command_line(scenario).startswith("--model Llama-3.2-1B --gpu ")


def test_local_is_this_machine_unless_more_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = read_machine(MACHINES["two 3090"][0])
    monkeypatch.setattr(this_machine, "read_machine", lambda: machine)
    found = scenario_from(here({"gpu": "local"}))
    assert (found.device.name, found.layout.devices, found.ram) == ("RTX 3090", 2, 62 * GIB)
    assert scenario_from(here({"gpu": " Local", "gpus": "1", "ram": "32GiB"})).ram == 32 * GIB
    assert scenario_from(here({"gpu": "local", "gpus": "1"})).layout.devices == 1


def test_every_command_and_the_palette_know_local(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = read_machine(MACHINES["two 3090"][0])
    monkeypatch.setattr(this_machine, "read_machine", lambda: machine)
    line = CommandLine().read(["compare", "--gpu", "local", "--", "--gpu", "2x T4"])
    assert [(one.gpu, one.gpus, one.ram) for one in (line, *line.others)] == [
        ("RTX 3090", "2", "62GiB"),
        ("2x T4", None, None),
    ]
    session = Session(scenario_from({"model": "Qwen3-8B"}))
    session.set_text("gpu", "local")
    found = session.scenario
    assert (found.device.name, found.layout.devices, found.ram) == ("RTX 3090", 2, 62 * GIB)
    session.set_text("gpu", "four T4")
    assert (session.scenario.device.name, session.scenario.layout.devices) == ("T4", 4)
    assert session.preview("gpu", "local").after.device.name == "RTX 3090"


def test_the_app_first_opens_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KVTUI_STATE_DIR", str(tmp_path))
    values = vars(CommandLine().read([]))
    for name, device in (("two 3090", "RTX 3090"), ("no accelerator", "H100 SXM"), ("a Mac", "Apple M4 Max 64GB")):
        machine = read_machine(MACHINES[name][0])
        monkeypatch.setattr(this_machine, "read_machine", lambda machine=machine: machine)
        scenario, follows, note = first(values)
        assert (scenario.device.name, follows) == (device, True)
        assert (device in note) == (device != "H100 SXM")


def test_a_device_that_the_catalogue_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = read_machine(reader(nvml="NVIDIA Quadro Z9, 4096"))
    with pytest.raises(InputError, match=r"^gpu: this machine's NVIDIA Quadro Z9: unknown device"):
        words(machine)
    monkeypatch.setattr(this_machine, "read_machine", lambda: machine)
    scenario, _, note = first(vars(CommandLine().read([])))
    assert scenario.device.name == "H100 SXM"
    assert "Quadro Z9" in note


def test_nothing_at_all_says_where_to_look() -> None:
    with pytest.raises(InputError, match="kvtui doctor"):
        words(Machine())


def test_what_was_tried_is_told() -> None:
    assert dict(read_machine(MACHINES["two 3090"][0]).tried) == {
        "NVML": "not there",
        "nvidia-smi": "2 devices",
        "amd-smi": "not there",
        "sysfs": "0 devices",
    }


@given(st.text(max_size=400))
def test_whatever_a_tool_prints_is_harmless(text: str) -> None:
    noisy = reader(run=dict.fromkeys(("nvidia-smi", "amd-smi", "sysctl"), text), nvml=text)
    for system in ("linux", "darwin"):
        machine = read_machine(noisy._replace(system=system))
        try:
            said = " ".join(words(machine).values())
        except InputError as error:
            said = str(error)
        assert not HARMFUL.search(said + machine.processor + "".join(found.name for found in machine.devices))


@given(st.text(max_size=200), st.text(max_size=40))
def test_files_of_any_text_are_read(text: str, other: str) -> None:
    assert meminfo(text) is None or meminfo(text) >= 0  # type: ignore[operator]
    assert not HARMFUL.search(cpuinfo(text))
    found = amd_card("0x1002", text, other, None)
    assert found is not None
    assert not HARMFUL.search(found.name)
    assert amd_card(text, "0x744c", "1", None) is None or text.strip() == "0x1002"


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_json_of_amd_smi(value: object) -> None:
    assert all(found.name for found in amd_smi(json.dumps(value)))
    assert all(found.name for found in amd_smi(json.dumps([{"asic": value, "vram": value}])))


def test_long_lists_are_cut_and_nonsense_is_no_device() -> None:
    assert len(nvidia_smi("NVIDIA T4, 15360\n" * 1000)) == 64
    assert nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == ()
    assert nvidia_smi("NVIDIA GB10, [N/A]")[0].memory is None
    assert apple("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz\n17179869184").devices == ()


def test_a_tool_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(this_machine, "SECONDS", 0.2)
    before = time.monotonic()
    machine = read_machine()
    assert time.monotonic() - before < 30
    assert dict(machine.tried).get("nvidia-smi", "not there") == "not there"
