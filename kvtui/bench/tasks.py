"""A task in a process of its own: ``python -m kvtui.bench.tasks TASK [--device NAME]``.

The task's job is one JSON object on a line of stdin; its events go out on stdout, and the last one is "done" or
"failed". A process that has JAX lives no longer than its task.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from kvtui.bench import child
from kvtui.bench.child import NO_BACKEND, ChildMessage
from kvtui.bench.worker import use_device
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

Task = Callable[[Mapping[str, Any], Callable[[ChildMessage], None]], None]
TASKS = ("train", "find-lr", "evaluate", "ensemble", "generate", "sharded")
OWN_DEVICES = {"sharded"}
"""Tasks that choose their devices themselves, since they take several."""


def main(arguments: list[str] | None = None) -> int:
    """Do the task. Returns 3 after one line on stderr when the device or a library is not there."""
    parser = argparse.ArgumentParser(prog="kvtui.bench.tasks", description="Does one task, whose job is on stdin.")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:0, or the number of a device")
    options = parser.parse_args(arguments)
    send = child.sender(child.reserved_stdout())
    child.end_with_parent()
    jobs: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(jobs,), daemon=True).start()
    try:
        if options.task not in OWN_DEVICES:
            use_device(options.device)
        task = _task(options.task)
    except (InputError, ImportError, RuntimeError) as error:
        print(f"kvtui: {plain(' '.join(str(error).split()), limit=400)}", file=sys.stderr)
        return NO_BACKEND
    send(_outcome(task, jobs.get(), send))
    return 0


def _outcome(task: Task, line: bytes, send: Callable[[ChildMessage], None]) -> ChildMessage:
    from kvtui.bench.measure import described, is_out_of_memory

    try:
        task(json.loads(line), send)
    except InputError as error:
        return {"event": "failed", "kind": "input", "message": described(error)}
    except OSError as error:
        named = {"errno": error.errno, "message": error.strerror or str(error), "file": error.filename}
        return {"event": "failed", "kind": "os", **named}
    except Exception as error:  # noqa: BLE001  the parent says what went wrong, whatever it is
        said = f"out of memory: {described(error)}" if is_out_of_memory(error) else described(error)
        return {"event": "failed", "kind": "error", "message": said}
    return {"event": "done"}


def _task(name: str) -> Task:
    match name:
        case "train":
            from kvtui.bench.training.loop import train_all

            return train_all
        case "generate":
            from kvtui.bench.training.speaking import generate_text

            return generate_text
        case "ensemble":
            from kvtui.bench.ensemble import measure_ensembles

            return measure_ensembles
        case "sharded":
            from kvtui.bench.sharded import measure_sharded

            return measure_sharded
        case "evaluate":
            from kvtui.bench.training.evaluate import evaluate_all

            return evaluate_all
        case _:
            from kvtui.bench.training.loop import find_learning_rate

            return find_learning_rate


def _receive(jobs: SimpleQueue[bytes]) -> None:
    for line in child.lines():
        jobs.put(line)


if __name__ == "__main__":
    sys.exit(main())
