"""The measuring process: ``python -m kvtui.bench.worker [--device NAME]``.

Jobs come in as one JSON object per line on stdin, and events go out the same way on stdout (``cases.protocol``): hello
when the machine has been probed, stages while a job runs, its result at the end. Nothing else ever reaches stdout; what
JAX prints goes to stderr. Jobs run one after another, and a job that fails is a result as well. The worker ends with
whoever started it (``bench.child``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kvtui.bench import child
from kvtui.bench.child import NO_BACKEND, ChildMessage
from kvtui.cases import protocol
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import jax


def main(arguments: list[str] | None = None) -> int:
    """Answer jobs until stdin closes. Returns 3 after one line on stderr when the device is not there."""
    parser = argparse.ArgumentParser(prog="kvtui.bench.worker", description="Measures benchmark jobs from stdin.")
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:0, or the number of a device")
    options = parser.parse_args(arguments)
    send = child.sender(child.reserved_stdout())
    child.end_with_parent()
    jobs: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(jobs,), daemon=True).start()
    try:
        host = _host(use_device(options.device))
    except (InputError, ImportError, RuntimeError) as error:
        print(f"kvtui: {plain(' '.join(str(error).split()), limit=400)}", file=sys.stderr)
        return NO_BACKEND
    send(protocol.hello(host))
    while True:
        send(_answer(jobs.get(), send))


def use_device(name: str | None) -> jax.Device:
    """Make the device called ``name`` (None: JAX's own choice) the one that programs run on.

    A name is a platform, a platform with a number ("cuda:1"), or the number alone. Asking for the CPU leaves other
    devices untouched if JAX was not used before. Raises InputError when there is no such device.
    """
    if name is not None and name.partition(":")[0] == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from kvtui.bench import compiled

    platform, _, number = (name or "").partition(":")
    if platform.isdecimal() and not number:
        platform, number = "", platform
    try:
        device = dict(enumerate(jax.devices(platform or None)))[int(number or 0)]
    except (RuntimeError, AssertionError, ValueError, KeyError):
        raise InputError(f"device '{plain(name or 'default')}' is not there; {_devices()}") from None
    jax.config.update("jax_default_device", device)  # type: ignore[no-untyped-call]
    compiled.enable_cache()
    return device


def _devices() -> str:
    import jax

    try:
        found = jax.devices()
    except (RuntimeError, AssertionError):
        return f"JAX finds none with JAX_PLATFORMS={plain(os.environ.get('JAX_PLATFORMS', ''))}"
    return f"this machine has {', '.join(f'{device.platform}:{device.id}' for device in found)}"


def _host(device: jax.Device) -> dict[str, Any]:
    from kvtui.bench import probe

    return {
        **probe.host(),
        "device": f"{device.platform}:{device.id}",
        "bandwidth_ladder": [rung._asdict() for rung in probe.ladder()],
        "matmul_gflops": {dtype: probe.matmul_peak(dtype) for dtype in probe.DTYPES},
    }


def _answer(text: str | bytes, emit: Callable[[ChildMessage], None]) -> dict[str, Any]:
    from kvtui.bench import measure

    name = ""
    try:
        values = json.loads(text)
        name = str(values["id"])
        job = protocol.Job.from_json(values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return protocol.result(name, measure.failure("error", f"not a job: {measure.described(error)}"), {})
    record, samples = measure.measure(job, emit)
    return protocol.result(job.id, record, samples)


def _receive(jobs: SimpleQueue[bytes]) -> None:
    for line in child.lines():
        jobs.put(line)


if __name__ == "__main__":
    sys.exit(main())
