"""Graphics chips by the numbers on their PCI bus: which card of the catalogue one is.

Numbers are those of the PCI ID database. Example: chip 0x744c of AMD with 24 GiB is an RX 7900 XTX, with 20 an XT.
"""

from __future__ import annotations

from kvtui.engine.basis.units import GIB

AMD, INTEL = "0x1002", "0x8086"
STRIX_HALO = "0x1586"
BUILT_IN_BYTES = 4 * GIB
"""A GPU of a processor is set aside less than this by default; no card that the catalogue has is as small."""

_CARDS = {
    (AMD, "0x744c", 24): "RX 7900 XTX",
    (AMD, "0x744c", 20): "RX 7900 XT",
    (AMD, "0x744c", 16): "RX 7900 GRE",
    (AMD, "0x7448", 48): "Radeon PRO W7900",
    (AMD, "0x745e", 32): "Radeon PRO W7800 32GB",
    (AMD, "0x747e", 16): "RX 7800 XT",
    (AMD, "0x747e", 12): "RX 7700 XT",
    (AMD, "0x7480", 16): "RX 7600 XT",
    (AMD, "0x7480", 8): "RX 7600",
    (AMD, "0x73bf", 16): "RX 6800",
    (AMD, "0x73af", 16): "RX 6900 XT",
    (AMD, "0x73a5", 16): "RX 6950 XT",
    (AMD, "0x73a3", 32): "Radeon PRO W6800",
    (AMD, "0x73df", 12): "RX 6700 XT",
    (AMD, "0x73ef", 8): "RX 6650 XT",
    (AMD, "0x73ff", 8): "RX 6600",
    (AMD, "0x7590", 16): "RX 9060 XT 16GB",
    (AMD, "0x7590", 8): "RX 9060 XT 8GB",
    (AMD, "0x7550", 16): "RX 9070",
    (AMD, "0x7551", 32): "Radeon AI PRO R9700",
    (AMD, "0x66a1", 16): "Instinct MI50 16GB",
    (AMD, "0x66a1", 32): "Instinct MI50 32GB",
    (AMD, "0x66a0", 32): "Instinct MI60",
    (AMD, "0x738c", 32): "Instinct MI100",
    (AMD, "0x740f", 64): "Instinct MI210",
    (AMD, "0x74a1", 192): "Instinct MI300X",
    (AMD, "0x74a5", 256): "Instinct MI325X",
    (AMD, "0x75a0", 288): "Instinct MI350X",
    (AMD, "0x75a3", 288): "Instinct MI355X",
    (INTEL, "0x56a0", None): "Arc A770 16GB",
    (INTEL, "0x56a1", None): "Arc A750",
    (INTEL, "0x56a2", None): "Arc A580",
    (INTEL, "0x56a5", None): "Arc A380",
    (INTEL, "0xe20b", None): "Arc B580",
    (INTEL, "0xe20c", None): "Arc B570",
    (INTEL, "0xe211", None): "Arc Pro B60",
    (INTEL, "0xe212", None): "Arc Pro B50",
}
"""Cards by maker, chip and GiB, which Intel's driver does not tell; of several that share all three the slower one."""


def card_of(maker: str, chip: str, memory: int | None) -> str | None:
    """The catalogue's name of the card with this chip and bytes of memory; None where they do not tell it."""
    return _CARDS.get((maker, chip, round((memory or 0) / GIB))) or _CARDS.get((maker, chip, None))
