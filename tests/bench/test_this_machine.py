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
from kvtui.engine.device.machine import (
    Machine,
    amd_smi,
    apple,
    cpuinfo,
    known,
    meminfo,
    nvidia_smi,
    sysfs_card,
    words,
)
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


def _amd(name: str, mib: int, device: str) -> str:
    """What amd-smi prints of one device."""
    asic = {"market_name": name, "vendor_id": "0x1002", "device_id": device, "rev_id": "0xc8"}
    vram = {"type": "GDDR6", "vendor": "SAMSUNG", "size": {"value": mib, "unit": "MB"}, "bit_width": 320}
    return json.dumps({"gpu_data": [{"gpu": 0, "asic": asic, "vram": vram}]})


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
    "a Radeon whose driver names the whole family": (
        reader(run={"amd-smi": _amd("Navi 31 [Radeon RX 7900 XT/7900 XTX/7900M]", 20464, "0x744c")}),
        {"gpu": "RX 7900 XT", "ram": "62GiB"},
    ),
    "a Strix Halo by amd-smi": (
        reader(
            run={"amd-smi": _amd("AMD Radeon 8060S Graphics", 512, "0x1586")},
            files={"/proc/meminfo": "MemTotal: 98000000 kB"},
        ),
        {"gpu": "Ryzen AI Max+ 395 96GB"},
    ),
    "a desktop processor's own graphics": (
        reader(run={"amd-smi": _amd("Phoenix3", 512, "0x1900")}),
        {"gpu": "CPU DDR5-5600 dual-channel", "memory": "62GiB"},
    ),
    "an Arc by sysfs": (
        reader(files={"c/vendor": "0x8086\n", "c/device": "0x56a0\n"}, cards=["c"]),
        {"gpu": "Arc A770 16GB", "ram": "62GiB"},
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


PRINTED = {
    "H100: 81559MiB": ("NVIDIA H100 80GB HBM3, 81559 MiB", ["H100 SXM"]),
    "several generations": (
        "NVIDIA A100-SXM4-40GB, 40960\nNVIDIA A10, 23028\nNVIDIA L40S, 46068\nNVIDIA L4, 23034\nTesla T4, 15360",
        ["A100 40GB SXM", "A10", "L40S", "L4", "T4"],
    ),
    "no NVIDIA before the name": ("GeForce RTX 2080, 7979", ["RTX 2080"]),
    "workstations": ("Quadro RTX 4000, 8192\nNVIDIA RTX A5000, 24564", ["Quadro RTX 4000", "RTX A5000"]),
    "memory that is not told": ("NVIDIA GB10, [N/A]", ["DGX Spark"]),
    "a heading": ("name, memory.total [MiB]\nNVIDIA GeForce RTX 5060 Ti, 16311 MiB", ["RTX 5060 Ti 16GB"]),
    "a card with fewer hashes": ("NVIDIA GeForce RTX 3060 Lite Hash Rate, 12288", ["RTX 3060 12GB"]),
    "three Blackwells": (
        "\n".join(
            f"NVIDIA RTX PRO 6000 Blackwell {edition} Edition, 97887"
            for edition in ("Workstation", "Max-Q Workstation", "Server")
        ),
        ["RTX PRO 6000 Blackwell", "RTX PRO 6000 Blackwell Max-Q", "RTX PRO 6000 Blackwell"],
    ),
}
"""Lines of nvidia-smi in public reports, and the devices that they are."""


@pytest.mark.parametrize("name", PRINTED)
def test_lines_of_nvidia_smi_are_the_catalogue_s_devices(name: str) -> None:
    printed, names = PRINTED[name]
    assert [known(found).name for found in nvidia_smi(printed)] == names


MI210 = """{
    "gpu_data": [
        {
            "gpu": 0,
            "asic": {
                "market_name": "AMD Instinct MI210",
                "vendor_id": "0x1002",
                "vendor_name": "Advanced Micro Devices Inc. [AMD/ATI]",
                "device_id": "0x740f",
                "oam_id": "N/A",
                "num_compute_units": 104,
                "target_graphics_version": "gfx90a"
            },
            "vram": {
                "type": "HBM",
                "vendor": "HYNIX",
                "size": {"value": 65520, "unit": "MB"},
                "bit_width": 4096,
                "max_bandwidth": {"value": "N/A", "unit": "GB/s"}
            }
        }
    ]
}"""
DENIED = """Permission needed to access required GPU device node(s):
  - /dev/kfd: Permission denied
  - /dev/dri/renderD*: 64 device(s) denied

To resolve this issue, try the following:
  - Add your user to the required group(s)

"""
MIXED = """[
  {"gpu": 0, "asic": {"market_name": "AMD Radeon AI PRO R9700"}, "vram": {"size": {"value": 32704, "unit": "MB"}}},
  {"gpu": 1, "asic": {"market_name": "AMD Radeon 8060S Graphics"}, "vram": {"size": {"value": 512, "unit": "MB"}}},
  {"gpu": 2, "asic": "N/A", "vram": {"size": "N/A"}}
]"""


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        (MI210, ["Instinct MI210"]),
        (DENIED + MI210, ["Instinct MI210"]),
        (MIXED, ["Radeon AI PRO R9700", "Ryzen AI Max+ 395"]),
        ('[{"asic": {"market_name": "Radeon RX 7800 XT"}, "vram": {"size": 16368}}]', ["RX 7800 XT"]),
        (DENIED, []),
    ],
)
def test_what_releases_of_amd_smi_print(printed: str, names: list[str]) -> None:
    assert [known(found).name for found in amd_smi(printed, 125 * GIB)] == names


@pytest.mark.parametrize(
    ("chip", "bytes_", "name"),
    [
        ("Apple M1", 8, "Apple M1 8GB"),
        ("Apple M2 Pro", 16, "Apple M2 Pro 16GB"),
        ("Apple M3 Max", 64, "Apple M3 Max 64GB"),
    ],
)
def test_macs_of_public_reports(chip: str, bytes_: int, name: str) -> None:
    assert words(apple(f"{chip}\n{bytes_ * GIB}\n")) == {"gpu": name}


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        ("AMD Ryzen 9 5950X 16-Core Processor", "CPU DDR4-3200 dual-channel"),
        ("AMD Ryzen 7 2700X Eight-Core Processor", "CPU DDR4-3200 dual-channel"),
        ("AMD Ryzen Threadripper 3960X 24-Core Processor", "CPU DDR4-3200 4-channel"),
        ("AMD Ryzen Threadripper PRO 7975WX 32-Cores", "CPU DDR5-5200 8-channel"),
        ("AMD EPYC 7K62 48-Core Processor", "CPU DDR4-3200 8-channel"),
        ("AMD Ryzen 7 8745HS w/ Radeon 780M Graphics", "CPU DDR5-5600 dual-channel"),
        ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", "CPU LPDDR5X-7500 dual-channel"),
        ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "CPU DDR4-3200 dual-channel"),
        ("Intel(R) Core(TM) i5-6500 CPU @ 3.20GHz", "CPU DDR4-3200 dual-channel"),
        ("13th Gen Intel(R) Core(TM) i9-13900K", "CPU DDR5-5600 dual-channel"),
        ("Intel(R) Core(TM) i9-14900K", "CPU DDR5-5600 dual-channel"),
        ("Intel(R) Core(TM) Ultra 9 285K", "CPU DDR5-6400 dual-channel"),
        ("Intel(R) Xeon(R) Platinum 8480+", "CPU DDR5-4800 8-channel"),
        ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", "CPU DDR4-2933 6-channel"),
    ],
)
def test_processors_are_known_by_their_memory(processor: str, name: str) -> None:
    asked = reader(files={"/proc/cpuinfo": f"processor\t: 0\nmodel name\t: {processor}\n"})
    assert words(read_machine(asked))["gpu"] == name


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


@pytest.mark.parametrize(
    ("said", "device", "number"),
    [
        ("7900xtx", "RX 7900 XTX", 1),
        ("7900 XT", "RX 7900 XT", 1),
        ("2x 7900 XTX", "RX 7900 XTX", 2),
        ("4x3090", "RTX 3090", 4),
        ("3090+3090", "RTX 3090", 2),
        ("RTX 3090, RTX 3090 and rtx 3090", "RTX 3090", 3),
    ],
)
def test_the_x_of_a_name_is_no_times(said: str, device: str, number: int) -> None:
    found = scenario_from({"gpu": said, "model": "Llama-3.2-1B"})
    assert (found.device.name, found.layout.devices) == (device, number)


@pytest.mark.parametrize("said", ["3090 + 3060", "RTX 3090, RTX 3060", "a 3090 and a 4060"])
def test_several_kinds_of_devices_are_not_planned(said: str) -> None:
    with pytest.raises(InputError, match=r"^gpu: devices of one kind are planned together"):
        scenario_from({"gpu": said})
    assert scenario_from({"gpu": "Ryzen AI Max+ 395", "model": "Llama-3.2-1B"}).device.name == "Ryzen AI Max+ 395"


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
    found = sysfs_card("0x1002", text, other, None)
    assert found is not None
    assert not HARMFUL.search(found.name)
    assert sysfs_card(text, "0x744c", "1", None) is None or text.strip() == "0x1002"


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_json_of_amd_smi(value: object) -> None:
    assert all(found.name for found in amd_smi(json.dumps(value), None))
    assert all(found.name for found in amd_smi(json.dumps([{"asic": value, "vram": value}]), None))


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
