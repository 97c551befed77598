"""Devices that people have at home: what each has, how their words find them, and memory of another size."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.device.catalogue import all_devices, device_names, find_device
from kvtui.engine.device.sizes import LEAST_BYTES, metal_limit, resized
from kvtui.engine.device.words import searched

SAMPLES = """
GTX 1080 Ti | 11 | 11264 MiB | 484.4 | 11.3 | 250
RTX 3060 Ti | 8 | 8192 MiB | 448 | 32.4 | 200
RTX 4060 Laptop | 8 | 8188 MiB | 256 | 23.2 | 115
RTX 5090 D | 32 | 32607 MiB | 1792 | 209 | 575
Quadro RTX 8000 | 48 | 49152 MiB | 672 | 130 | 260
RX 580 8GB | 8 | 8176 MiB | 256 | 6.18 | 185
RX 7800 XT | 16 | 16368 MiB | 624.1 | 74.7 | 263
Arc B570 | 10 | 10180 MiB | 380 | 92.2 | 150
Ryzen AI Max+ 395 64GB | 64 | 48 GiB | 256 | 59 | 55
Jetson Orin NX 16GB | 16 | 15.2 GiB | 102.4 | 15 | 25
CPU DDR5-4800 12-channel | 768 | 768 GiB | 460.8 | - | -
Apple M4 Max 36GB | 36 | 27648 MiB | 410 | 14.5 | 90
"""
"""Name, GB on the box, what the driver has of it, GB/s, dense TFLOP/s in 16 bits or else 32, and watts."""

PIN_GBPS = {"GDDR5": (4, 9.2), "GDDR5X": (8, 12), "GDDR6": (11, 20.2), "GDDR6X": (18, 24), "GDDR7": (18, 32.5)}
"""What a pin of each kind of memory carries, the slowest sold and the fastest."""

SOLD = {
    "M1": (8, 16),
    "M1 Pro": (16, 32),
    "M1 Max": (32, 64),
    "M1 Ultra": (64, 128),
    "M2": (8, 16, 24),
    "M2 Pro": (16, 32),
    "M2 Max": (32, 64, 96),
    "M2 Ultra": (64, 128, 192),
    "M3": (8, 16, 24),
    "M3 Pro": (18, 36),
    "M3 Max": (36, 48, 64, 96, 128),
    "M3 Ultra": (96, 256, 512),
    "M4": (16, 24, 32),
    "M4 Pro": (24, 48, 64),
    "M4 Max": (36, 48, 64, 128),
    "M5": (16, 24, 32),
    "M5 Pro": (24, 48, 64),
    "M5 Max": (36, 48, 64, 128),
}
"""GB of RAM with which Apple sells each chip."""

METAL_MB = {16: 11_453, 24: 17_180, 32: 22_907, 36: 28_991, 48: 38_655, 64: 51_540, 128: 103_079}
"""The limit that Metal logs up to macOS 15, in 10**6 bytes, by GB of RAM."""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))


def test_figures_of_each_kind() -> None:
    for line in SAMPLES.strip().splitlines():
        name, nominal, usable, bandwidth, peak, watts = (cell.strip() for cell in line.split("|"))
        device = find_device(name)
        rates = dict(device.peak_tflops)
        rate = next((rates[key] for key in ("bf16", "fp16", "fp32") if key in rates), None)
        size, unit = usable.split()
        assert (device.name, device.nominal_gb, device.bandwidth_gbs) == (name, float(nominal), float(bandwidth))
        assert device.usable_bytes == int(float(size) * {"MiB": MIB, "GiB": GIB}[unit])
        assert (rate, device.tdp_watts) == tuple(None if cell == "-" else float(cell) for cell in (peak, watts))


def test_chips_carry_what_their_pins_can_and_make_up_the_box() -> None:
    """A memory chip has 32 pins of data; two of them may share those (clamshell)."""
    for device in all_devices():
        memory = device.memory
        if device.family in ("consumer", "workstation", "unified"):
            assert memory.modules * memory.module_gib == pytest.approx(device.nominal_gb, rel=0.12), device.name
        if memory.kind in PIN_GBPS:
            least, most = PIN_GBPS[memory.kind]
            pins = [32 * memory.modules / sharing for sharing in (1, 2)]
            assert any(least <= 8 * device.bandwidth_gbs / count <= most for count in pins), device.name


@pytest.mark.parametrize("chip", SOLD)
def test_every_mac_that_is_sold_is_there(chip: str) -> None:
    for size in SOLD[chip]:
        assert find_device(f"{chip} {size}GB").nominal_gb == size


def test_processors_read_what_their_channels_carry() -> None:
    for device in all_devices():
        if device.vendor == "CPU" and device.name != "CPU":
            rate = int(device.name.split()[1].split("-")[1])
            assert device.bandwidth_gbs == pytest.approx(device.memory.modules * 8 * rate / 1000, abs=0.06)


@pytest.mark.parametrize(("ram", "megabytes"), METAL_MB.items())
def test_a_mac_gives_its_gpu_what_metal_logs(ram: int, megabytes: int) -> None:
    assert metal_limit(ram * GIB) == pytest.approx(megabytes * 10**6, abs=10**6)
    macs = [d for d in all_devices() if d.vendor == "Apple" and d.nominal_gb == ram]
    assert macs
    assert all(mac.usable_bytes == pytest.approx(megabytes * 10**6, abs=10**6) for mac in macs)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("3060", "RTX 3060 12GB"),
        ("12 GB RTX 3060", "RTX 3060 12GB"),
        ("RTX 3060 12 GB", "RTX 3060 12GB"),
        ("rtx 3060 8gb", "RTX 3060 8GB"),
        ("NVIDIA GeForce RTX 3060", "RTX 3060 12GB"),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", "RTX 4060 Laptop"),
        ("4070 ti super", "RTX 4070 Ti SUPER"),
        ("4070 ti", "RTX 4070 Ti"),
        ("5060ti 16", "RTX 5060 Ti 16GB"),
        ("5060 ti 8gb", "RTX 5060 Ti 8GB"),
        ("m4 max 64", "Apple M4 Max 64GB"),
        ("64 GB M4 Max", "Apple M4 Max 64GB"),
        ("M4 Max 128GB", "Apple M4 Max"),
        ("M2 Ultra 192", "Apple M2 Ultra"),
        ("Ryzen AI Max 128", "Ryzen AI Max+ 395"),
        ("strix halo", "Ryzen AI Max+ 395"),
        ("strix halo 64", "Ryzen AI Max+ 395 64GB"),
        ("768 GB Epyc", "CPU DDR5-4800 12-channel"),
        ("Epyc Turin", "CPU DDR5-6000 12-channel"),
        ("spark", "DGX Spark"),
        ("7900 xtx", "RX 7900 XTX"),
        ("AMD Radeon RX 6700 XT", "RX 6700 XT"),
        ("arc a750", "Arc A750"),
        ("titan v", "TITAN V"),
        ("m2 16", "Apple M2 16GB"),
        ("rx 580", "RX 580 8GB"),
        ("NVIDIA RTX 5000 Ada Generation", "RTX 5000 Ada"),
        ("4090 D", "RTX 4090 D"),
    ],
)
def test_devices_are_found_as_they_are_said(said: str, name: str) -> None:
    assert find_device(said).name == name


@pytest.mark.parametrize("said", ["m4 64", "mac", "laptop", "apple"])
def test_words_that_say_several_devices_list_them(said: str) -> None:
    with pytest.raises(InputError, match=rf"^device: '{said}' may be .*, .*: give one$") as caught:
        find_device(said)
    assert not isinstance(caught.value, UnknownName)


@pytest.mark.parametrize(
    ("search", "found", "absent"),
    [
        ("mac", "Apple M4 Pro 24GB", "RTX 4090"),
        ("apple 64", "Apple M1 Ultra 64GB", "Apple M1 Pro"),
        ("4070 ti super", "RTX 4070 Ti SUPER", "RTX 4070 Ti"),
        ("5060ti 16", "RTX 5060 Ti 16GB", "RTX 5060 Ti 8GB"),
        ("strix halo", "Ryzen AI Max+ 395", "DGX Spark"),
        ("3060", "RTX 3060 Laptop", "RTX 3070"),
        ("nvidia laptop", "RTX 5090 Laptop", "RTX 5090"),
        ("epyc", "CPU DDR4-3200 8-channel", "CPU DDR5-5600 dual-channel"),
    ],
)
def test_a_search_finds_makers_and_nicknames(search: str, found: str, absent: str) -> None:
    names = [device.name for device in all_devices() if searched(device, search)]
    assert found in names
    assert absent not in names


@given(st.sampled_from(device_names()), st.integers(LEAST_BYTES, 2**45))
def test_memory_of_another_size_keeps_what_a_device_is(name: str, memory: int) -> None:
    device = find_device(name)
    other = resized(device, memory)
    assert other.resized == memory
    assert (other.name, other.bandwidth_gbs, other.peak_tflops) == (name, device.bandwidth_gbs, device.peak_tflops)
    assert 0 < other.allocatable_bytes <= other.usable_bytes <= memory
    assert other.memory.modules * other.memory.module_gib * GIB == pytest.approx(memory)


@pytest.mark.parametrize(("chip", "gb"), [("Apple M4 Max", 64), ("Apple M2", 16), ("Apple M3 Ultra", 256)])
def test_a_mac_of_another_size_is_the_mac_of_that_size(chip: str, gb: int) -> None:
    sold = find_device(f"{chip} {gb}GB")
    assert resized(find_device(chip), gb * GIB).usable_bytes == pytest.approx(sold.usable_bytes, abs=MIB)


def test_no_device_has_no_memory() -> None:
    with pytest.raises(InputError, match=r"^memory: 1\.00 MiB is no device's memory"):
        resized(find_device("RTX 4090"), MIB)
