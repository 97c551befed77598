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

# name | GB on the box | usable as printed | GB/s | dense bf16, else fp16, else fp32 TFLOP/s | W | confidence
HOME = """
GTX 1060 6GB | 6 | 6144 MiB | 192.2 | 4.38 | 120 | M
GTX 1070 | 8 | 8192 MiB | 256.3 | 6.46 | 150 | M
GTX 1080 | 8 | 8192 MiB | 320.3 | 8.87 | 180 | M
GTX 1080 Ti | 11 | 11264 MiB | 484.4 | 11.3 | 250 | M
GTX 1660 SUPER | 6 | 6144 MiB | 336 | 10.1 | 125 | M
GTX 1660 Ti | 6 | 6144 MiB | 288 | 10.9 | 120 | M
RTX 2060 | 6 | 6144 MiB | 336 | 25.8 | 160 | M
RTX 2060 12GB | 12 | 12288 MiB | 336 | 28.7 | 184 | M
RTX 2060 SUPER | 8 | 8192 MiB | 448 | 28.7 | 175 | M
RTX 2070 | 8 | 8192 MiB | 448 | 29.9 | 175 | M
RTX 2070 SUPER | 8 | 8192 MiB | 448 | 36.2 | 215 | M
RTX 2080 | 8 | 8192 MiB | 448 | 40.3 | 215 | M
RTX 2080 SUPER | 8 | 8192 MiB | 495.9 | 44.6 | 250 | M
RTX 3050 6GB | 6 | 6144 MiB | 168 | 13.5 | 70 | M
RTX 3050 8GB | 8 | 8192 MiB | 224 | 18.2 | 130 | M
RTX 3060 8GB | 8 | 8192 MiB | 240 | 25.5 | 170 | M
RTX 3060 Ti | 8 | 8192 MiB | 448 | 32.4 | 200 | M
RTX 3070 | 8 | 8192 MiB | 448 | 40.6 | 220 | M
RTX 3070 Ti | 8 | 8192 MiB | 608.3 | 43.5 | 290 | M
RTX 3080 12GB | 12 | 12288 MiB | 912.4 | 61.3 | 350 | M
RTX 3080 Ti | 12 | 12288 MiB | 912.4 | 68.2 | 350 | M
RTX 4060 | 8 | 8188 MiB | 272 | 30.2 | 115 | M
RTX 4060 Ti 8GB | 8 | 8188 MiB | 288 | 44.1 | 160 | M
RTX 4070 SUPER | 12 | 12282 MiB | 504.2 | 71 | 220 | M
RTX 4070 Ti | 12 | 12282 MiB | 504.2 | 80.2 | 285 | M
RTX 5050 | 8 | 8151 MiB | 320 | 26.3 | 130 | M
RTX 5060 | 8 | 8151 MiB | 448 | 38.4 | 145 | M
RTX 5060 Ti 8GB | 8 | 8151 MiB | 448 | 47.4 | 180 | M
TITAN RTX | 24 | 24576 MiB | 672 | 130 | 280 | M
RTX 3050 Laptop | 4 | 4096 MiB | 192 | 11 | 45 | M
RTX 3050 Ti Laptop | 4 | 4096 MiB | 192 | 10.6 | 75 | M
RTX 3060 Laptop | 6 | 6144 MiB | 336 | 21.9 | 80 | M
RTX 3070 Laptop | 8 | 8192 MiB | 448 | 31.9 | 115 | M
RTX 3070 Ti Laptop | 8 | 8192 MiB | 448 | 33.2 | 115 | M
RTX 3080 Laptop 8GB | 8 | 8192 MiB | 448 | 38 | 115 | M
RTX 3080 Laptop 16GB | 16 | 16384 MiB | 448 | 38 | 115 | M
RTX 3080 Ti Laptop | 16 | 16384 MiB | 512 | 37.4 | 115 | M
RTX 4050 Laptop | 6 | 6141 MiB | 192 | 18 | 50 | M
RTX 4060 Laptop | 8 | 8188 MiB | 256 | 23.2 | 115 | M
RTX 4070 Laptop | 8 | 8188 MiB | 256 | 31.2 | 115 | M
RTX 4080 Laptop | 12 | 12282 MiB | 432 | 49.4 | 110 | M
RTX 4090 Laptop | 16 | 16376 MiB | 576 | 66 | 120 | M
RTX 5050 Laptop | 8 | 8151 MiB | 384 | 15.4 | 50 | M
RTX 5060 Laptop | 8 | 8151 MiB | 384 | 19.4 | 45 | M
RTX 5070 Laptop | 8 | 8151 MiB | 384 | 26.3 | 50 | M
RTX 5070 Ti Laptop | 12 | 12227 MiB | 672 | 34.1 | 60 | M
RTX 5080 Laptop | 16 | 16303 MiB | 896 | 46.1 | 80 | M
RTX 5090 Laptop | 24 | 24463 MiB | 896 | 63.6 | 95 | M
Tesla P40 | 24 | 24576 MiB | 347.1 | 11.8 | 250 | M
Tesla P100 16GB | 16 | 16384 MiB | 732.2 | 19.1 | 250 | M
V100 PCIe 16GB | 16 | 16384 MiB | 897 | 113 | 300 | M
RTX A2000 6GB | 6 | 6138 MiB | 288 | 31.9 | 70 | M
RTX A2000 12GB | 12 | 12282 MiB | 288 | 31.9 | 70 | M
RTX A4000 | 16 | 16376 MiB | 448 | 76.7 | 140 | M
RTX A4500 | 20 | 20470 MiB | 640 | 94.6 | 200 | M
RTX 2000 Ada | 16 | 16380 MiB | 256 | 48 | 70 | M
RTX 4000 Ada | 20 | 20475 MiB | 360 | 107 | 130 | M
RTX 4000 SFF Ada | 20 | 20475 MiB | 280 | 76.7 | 70 | M
RTX 4500 Ada | 24 | 24570 MiB | 432 | 159 | 210 | M
RTX PRO 2000 Blackwell | 16 | 16311 MiB | 288 | 68.1 | 70 | M
RTX PRO 4000 Blackwell | 24 | 24467 MiB | 672 | 147 | 140 | M
RTX PRO 4500 Blackwell | 32 | 32623 MiB | 896 | 202 | 200 | M
RX 5700 XT | 8 | 8176 MiB | 448 | 19.5 | 225 | M
RX 6600 | 8 | 8176 MiB | 224 | 17.9 | 132 | M
RX 6600 XT | 8 | 8176 MiB | 256 | 21.2 | 160 | M
RX 6650 XT | 8 | 8176 MiB | 280.3 | 21.6 | 176 | M
RX 6700 XT | 12 | 12272 MiB | 384 | 26.4 | 230 | M
RX 6750 XT | 12 | 12272 MiB | 432 | 26.6 | 250 | M
RX 6800 | 16 | 16368 MiB | 512 | 32.3 | 250 | M
RX 6800 XT | 16 | 16368 MiB | 512 | 41.5 | 300 | M
RX 6900 XT | 16 | 16368 MiB | 512 | 46.1 | 300 | M
RX 6950 XT | 16 | 16368 MiB | 576 | 47.3 | 335 | M
RX 7600 | 8 | 8176 MiB | 288 | 43.5 | 165 | M
RX 7600 XT | 16 | 16368 MiB | 288 | 45.1 | 190 | M
RX 7700 XT | 12 | 12272 MiB | 432 | 70.3 | 245 | M
RX 7800 XT | 16 | 16368 MiB | 624.1 | 74.7 | 263 | M
RX 7900 GRE | 16 | 16368 MiB | 576 | 92 | 260 | M
RX 7900 XT | 20 | 20464 MiB | 800 | 103 | 300 | M
RX 9060 XT 8GB | 8 | 8112 MiB | 322.3 | 103 | 150 | M
RX 9060 XT 16GB | 16 | 16304 MiB | 322.3 | 103 | 160 | M
RX 9070 | 16 | 16304 MiB | 644.6 | 145 | 220 | M
Radeon PRO W6800 | 32 | 32752 MiB | 512 | 35.7 | 250 | M
Radeon PRO W7700 | 16 | 16368 MiB | 576 | 63.9 | 190 | M
Instinct MI50 16GB | 16 | 16368 MiB | 1020 | 26.8 | 300 | M
Instinct MI50 32GB | 32 | 32752 MiB | 1020 | 26.8 | 300 | M
Instinct MI60 | 32 | 32752 MiB | 1020 | 29.5 | 300 | M
Instinct MI100 | 32 | 32752 MiB | 1230 | 92.3 | 300 | M
Ryzen AI Max 385 32GB | 32 | 24 GiB | 256 | 46 | 55 | L
Ryzen AI Max+ 395 64GB | 64 | 48 GiB | 256 | 59 | 55 | M
Ryzen AI Max+ 395 96GB | 96 | 72 GiB | 256 | 59 | 55 | M
Arc A380 | 6 | 6064 MiB | 186 | 33.6 | 75 | L
Arc A580 | 8 | 8096 MiB | 512 | 98.3 | 175 | L
Arc A750 | 8 | 8096 MiB | 512 | 138 | 225 | L
Arc B570 | 10 | 10180 MiB | 380 | 92.2 | 150 | L
Arc Pro B50 | 16 | 16256 MiB | 224 | 85.2 | 70 | L
Jetson AGX Orin 64GB | 64 | 60.8 GiB | 204.8 | 42.6 | 60 | L
Jetson AGX Orin 32GB | 32 | 30.4 GiB | 204.8 | 26.7 | 40 | L
Jetson Orin NX 16GB | 16 | 15.2 GiB | 102.4 | 15 | 25 | L
Jetson Orin Nano 8GB | 8 | 7.6 GiB | 102 | 10.2 | 15 | L
CPU DDR4-3200 dual-channel | 64 | 64 GiB | 51.2 | - | - | M
CPU DDR5-5600 dual-channel | 64 | 64 GiB | 89.6 | - | - | M
CPU DDR5-6400 dual-channel | 64 | 64 GiB | 102.4 | - | - | M
CPU LPDDR5X-7500 dual-channel | 32 | 32 GiB | 120 | - | - | M
CPU DDR4-2933 6-channel | 384 | 384 GiB | 140.8 | - | - | M
CPU DDR4-3200 8-channel | 512 | 512 GiB | 204.8 | - | - | M
CPU DDR5-5200 4-channel | 128 | 128 GiB | 166.4 | - | - | M
CPU DDR5-5200 8-channel | 256 | 256 GiB | 332.8 | - | - | M
CPU DDR5-4800 8-channel | 512 | 512 GiB | 307.2 | - | - | M
CPU DDR5-4800 12-channel | 768 | 768 GiB | 460.8 | - | - | M
CPU DDR5-6000 12-channel | 768 | 768 GiB | 576 | - | - | M
Apple M1 8GB | 8 | 5461 MiB | 68 | 2.6 | 14 | M
Apple M1 Pro 16GB | 16 | 10922 MiB | 200 | 5.2 | - | M
Apple M1 Max 32GB | 32 | 21845 MiB | 400 | 10.4 | - | M
Apple M1 Ultra 64GB | 64 | 49152 MiB | 800 | 21 | 90 | M
Apple M2 8GB | 8 | 5461 MiB | 100 | 3.6 | 20 | M
Apple M2 16GB | 16 | 10922 MiB | 100 | 3.6 | 20 | M
Apple M2 Pro 16GB | 16 | 10922 MiB | 200 | 6.8 | - | M
Apple M2 Max 32GB | 32 | 21845 MiB | 400 | 13.6 | - | M
Apple M2 Max 64GB | 64 | 49152 MiB | 400 | 13.6 | - | M
Apple M2 Ultra 64GB | 64 | 49152 MiB | 800 | 27 | 100 | M
Apple M2 Ultra 128GB | 128 | 98304 MiB | 800 | 27 | 100 | M
Apple M3 8GB | 8 | 5461 MiB | 100 | 4.1 | 20 | M
Apple M3 16GB | 16 | 10922 MiB | 100 | 4.1 | 20 | M
Apple M3 Pro 18GB | 18 | 12288 MiB | 150 | 7.4 | - | M
Apple M3 Max 36GB | 36 | 27648 MiB | 300 | 12 | - | M
Apple M3 Max 48GB | 48 | 36864 MiB | 400 | 16 | - | M
Apple M3 Max 64GB | 64 | 49152 MiB | 400 | 16 | - | M
Apple M3 Max 96GB | 96 | 73728 MiB | 300 | 12 | - | M
Apple M3 Ultra 96GB | 96 | 73728 MiB | 819 | 32 | 150 | M
Apple M3 Ultra 256GB | 256 | 196608 MiB | 819 | 32 | 150 | M
Apple M4 16GB | 16 | 10922 MiB | 120 | 4.3 | 20 | M
Apple M4 24GB | 24 | 16384 MiB | 120 | 4.3 | 20 | M
Apple M4 Pro 24GB | 24 | 16384 MiB | 273 | 9 | - | M
Apple M4 Pro 48GB | 48 | 36864 MiB | 273 | 9 | - | M
Apple M4 Max 36GB | 36 | 27648 MiB | 410 | 14.5 | 90 | M
Apple M4 Max 48GB | 48 | 36864 MiB | 546 | 18 | 90 | M
Apple M4 Max 64GB | 64 | 49152 MiB | 546 | 18 | 90 | M
Apple M5 16GB | 16 | 10922 MiB | 153 | 17.2 | 20 | L
Apple M5 24GB | 24 | 16384 MiB | 153 | 17.2 | 20 | L
Apple M5 Pro 24GB | 24 | 16384 MiB | 307 | 36 | - | L
Apple M5 Pro 48GB | 48 | 36864 MiB | 307 | 36 | - | L
Apple M5 Max 36GB | 36 | 27648 MiB | 460 | 58 | 100 | L
Apple M5 Max 48GB | 48 | 36864 MiB | 614 | 72 | 100 | L
Apple M5 Max 64GB | 64 | 49152 MiB | 614 | 72 | 100 | L
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in HOME.strip().splitlines()]
NAMES = [row[0] for row in ROWS]

METAL_MB = {16: 11_453, 24: 17_180, 32: 22_907, 36: 28_991, 48: 38_655, 64: 51_540, 128: 103_079}
"""The limit that Metal logs up to macOS 15, in 10**6 bytes, by GB of RAM."""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_figures(row: list[str]) -> None:
    name, nominal, usable, bandwidth, peak, watts, confidence = row
    device = find_device(name)
    rates = dict(device.peak_tflops)
    sixteen_bit = next((rates[key] for key in ("bf16", "fp16", "fp32") if key in rates), None)
    number, unit = usable.split()
    assert (device.name, device.nominal_gb, device.bandwidth_gbs) == (name, float(nominal), float(bandwidth))
    assert device.usable_bytes == int(float(number) * {"MiB": MIB, "GiB": GIB}[unit])
    assert sixteen_bit == (None if peak == "-" else float(peak))
    assert device.tdp_watts == (None if watts == "-" else float(watts))
    assert device.confidence == confidence
    built = device.memory.modules * device.memory.module_gib
    assert built == pytest.approx(device.nominal_gb, rel=0.12)
    assert device.usable_bytes <= built * GIB * 1.001


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
