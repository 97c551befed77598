"""The device catalogue: the packaged ``devices.toml`` and the user's own.

The packaged file's header says what each key of a ``[[device]]`` table means and in which unit it is. A user's
``devices.toml`` in the configuration folder has the same form.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.catalogue import Catalogue
from kvtui.engine.basis.errors import SeveralNames, UnknownName
from kvtui.engine.basis.tables import Fields
from kvtui.engine.basis.units import GIB, MAX_BYTES, MIB
from kvtui.engine.device.sizes import after_the_driver
from kvtui.engine.device.spec import OWN, DeviceSpec, Memory, Price

FAMILIES = ("consumer", "workstation", "datacentre", "unified", "tpu", "wafer", "other")
PEAKS = ("bf16", "fp16", "fp32", "fp8", "int8", "fp4")
CONFIDENCES = ("H", "M", "L")
LISTED = 8

_USABLE_UNITS = {"usable_mib": MIB, "usable_gib": GIB, "usable_bytes": 1}
_NEEDED = ("name", "vendor", "family", "nominal_gb", "memory", "bandwidth_gbs", "tile", "confidence", "source")
_CAPABILITY = re.compile(r"([0-9]{1,2})\.([0-9])")
_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


def device_names() -> tuple[str, ...]:
    """The names of all devices, packaged ones first. Raises InputError if the user's file is wrong."""
    return _DEVICES.names()


def wrong_devices() -> tuple[str, ...]:
    """What is wrong with entries of the user's file, which are left out."""
    return _DEVICES.wrong()


def all_devices() -> tuple[DeviceSpec, ...]:
    """All devices, packaged ones first. Raises InputError if the user's file is wrong."""
    return _DEVICES.all()


def find_device(name: str) -> DeviceSpec:
    """The device of that name or alias; case, spaces, hyphens, underscores and dots do not matter.

    Words in another order are understood where they say one device only: ``12 GB RTX 3060``, ``m4 max 64``. Of several
    it is the one that all others add a word to: ``m2 16`` is no M2 Pro. ``own 48GB 1200GB/s`` is a device that no
    catalogue has.
    Raises UnknownName, and InputError if several are meant or the user's file is wrong.
    """
    found = _DEVICES.get(name)
    if found is not None:
        return found
    if name.casefold().split()[:1] == [OWN]:
        from kvtui.engine.device.own import own_device

        return own_device(name)
    from kvtui.engine.device.words import plainest, said, searched

    labels = _DEVICES.labels()
    meant = [labels[at][0] for at in said(labels, name)] or [d.name for d in all_devices() if searched(d, name)]
    if (found_name := plainest(meant)) is not None:
        return _DEVICES.find(found_name)
    if meant:
        raise SeveralNames("device", name, meant, LISTED)
    raise UnknownName("device", name, device_names())


def _build(fields: Fields) -> DeviceSpec:
    usable_key = next((key for key in _USABLE_UNITS if key in fields), "usable_gib")
    fields.need(*_NEEDED, usable_key)
    memory = fields.table("memory")
    memory.need("kind", "modules", "module_gib")
    nominal_gb = fields.number("nominal_gb", most=1e6)
    vendor = fields.text("vendor", limit=80)
    usable = _usable_bytes(fields, nominal_gb)
    logged = fields.maybe(fields.number, "allocatable_gib", most=MAX_BYTES / GIB)
    return DeviceSpec(
        name=fields.text("name", limit=80),
        vendor=vendor,
        family=fields.choice("family", FAMILIES),
        nominal_gb=nominal_gb,
        usable_bytes=usable,
        memory=Memory(
            kind=memory.text("kind", limit=40),
            modules=memory.integer("modules", most=1024),
            module_gib=memory.number("module_gib", most=1e6),
        ),
        bandwidth_gbs=fields.number("bandwidth_gbs", most=1e9),
        cache_mb=fields.maybe(fields.number, "cache_mb", most=1e9),
        peak_tflops=_peaks(fields.maybe(fields.table, "peak")),
        link=fields.maybe(fields.text, "link", limit=80),
        link_gbs=fields.maybe(fields.number, "link_gbs", most=1e9),
        pcie=fields.maybe(fields.text, "pcie", limit=40),
        tdp_watts=fields.maybe(fields.number, "tdp_watts", most=1e6),
        price=_price(fields),
        tile=fields.integer("tile", most=4096),
        confidence=fields.choice("confidence", CONFIDENCES),
        source=fields.text("source"),
        aliases=fields.texts("aliases", limit=80),
        note=fields.maybe(fields.text, "note"),
        unified=fields.flag("unified"),
        allocatable_bytes=_allocatable_bytes(
            fields, usable, logged, driver_keeps=vendor == "NVIDIA" and not fields.flag("unified")
        ),
        allocatable_logged=logged is not None,
        compute_capability=_capability(fields),
        multiprocessors=fields.maybe(fields.integer, "multiprocessors", most=10_000),
    )


def _usable_bytes(fields: Fields, nominal_gb: float) -> int:
    """Usable bytes, rounded down, from the one key that gives them, which must agree roughly with the nominal size."""
    given = {
        key: int(size * unit)
        for key, unit in _USABLE_UNITS.items()
        if (size := fields.maybe(fields.number, key, most=MAX_BYTES / unit)) is not None
    }
    if len(given) != 1:
        raise fields.error("usable_mib", "give exactly one of usable_mib, usable_gib and usable_bytes")
    [(key, usable)] = given.items()
    ratio = usable / (nominal_gb * 1e9)
    if not 0.25 <= ratio <= 1.1:
        raise fields.error(key, f"is {ratio:.3g} times nominal_gb; expected 0.25 to 1.1 times")
    return usable


def _allocatable_bytes(fields: Fields, usable: int, logged_gib: float | None, driver_keeps: bool) -> int:
    """What programs can have of ``usable`` bytes: what servers printed, else all but what NVIDIA's driver keeps.

    ROCm, Level Zero and Metal hand out what their tools report.
    """
    if logged_gib is not None:
        logged = int(logged_gib * GIB)
        if not usable * 3 // 4 <= logged <= usable:
            raise fields.error("allocatable_gib", "must be at most what the driver reports, and at least 3/4 of it")
        return logged
    if not driver_keeps:
        return usable
    return after_the_driver(usable)


def _capability(fields: Fields) -> tuple[int, int] | None:
    text = fields.maybe(fields.text, "compute_capability", limit=5)
    if text is None:
        return None
    match = _CAPABILITY.fullmatch(text)
    if match is None:
        raise fields.error("compute_capability", "must be two numbers such as 9.0")
    return int(match[1]), int(match[2])


def _peaks(rates: Fields | None) -> tuple[tuple[str, float], ...]:
    if rates is None:
        return ()
    found = ((element, rates.maybe(rates.number, element, most=1e9)) for element in PEAKS)
    return tuple((element, rate) for element, rate in found if rate is not None)


def _price(fields: Fields) -> Price | None:
    span = fields.maybe(fields.numbers, "usd_per_hour", 2, most=1e6)
    month = fields.maybe(fields.text, "priced_on")
    if span is None and month is None:
        return None
    if span is None or month is None:
        raise fields.error("usd_per_hour", "usd_per_hour and priced_on come together or not at all")
    if not _MONTH.fullmatch(month):
        raise fields.error("priced_on", "must be a year and month such as 2026-03")
    if span[0] > span[1]:
        raise fields.error("usd_per_hour", "the lower price must come first")
    return Price(span[0], span[1], month)


_DEVICES = Catalogue("device", "devices.toml", _build)
