"""A device that is in no catalogue, by its memory and bandwidth, with this machine's devices beside it."""

from __future__ import annotations

from kvtui.bench.this_machine import read_machine
from kvtui.engine.advice.matrix import answer
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.device.own import own_device
from kvtui.engine.scenario.change import adapted
from kvtui.screens.windows.prompt import PromptScreen
from kvtui.state.session import Session

PRESETS = ("16GiB 300", "24GiB 1000", "32GiB 1800", "48GiB 900", "64GiB 400", "96GiB 1800", "128GiB 270", "192GiB 8000")


def this_machine() -> str:
    """This machine's devices with their memory and bandwidth, in a line; asking for them may take a few seconds."""
    said = []
    for found in read_machine().devices:
        try:
            known = find_device(found.card or found.name)
            said.append(
                f"{known.name}, {format_bytes(found.memory or known.usable_bytes)}, {known.bandwidth_gbs:,.0f} GB/s"
            )
        except InputError:
            said.append(plain(found.name, 60))
    return f"this machine: {' and '.join(dict.fromkeys(said)) or 'no accelerator found'}"


def hardware_prompt(session: Session, beside: str) -> PromptScreen:
    """Asks for memory, bandwidth and what else is known; ``beside`` stands below. Nothing is taken from elsewhere."""

    def preview(text: str) -> str:
        if not text.strip():
            return ""
        changed = adapted(session.scenario, {"device": own_device(text)})[0]
        found = answer(changed)
        if found.reason:
            return found.reason
        users = "no max" if found.sequences is None else f"{found.sequences:,}"
        fits = "does not fit" if not found.fits else "beyond the model's own maximum" if found.beyond else "fits"
        price = "" if changed.device.price else ", no price"
        return f"{changed.device.name}{price}: {fits}, at most {users} sequences"

    def step(text: str, by: int) -> str:
        at = PRESETS.index(text) if text in PRESETS else -1
        return PRESETS[max(0, min(at + by, len(PRESETS) - 1))]

    return PromptScreen(
        "a device in no catalogue: memory and GB/s",
        "",
        f"such as 48GB 1200GB/s (GB as on the box: 48 GiB); more if known: 180TFLOPS 300W 2$/h\n{beside}",
        preview=preview,
        take=lambda text: session.change(device=own_device(text)),
        step=step,
    )
