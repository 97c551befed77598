"""The parent's side of a task in a process of its own (``bench.tasks``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import suppress
from threading import Thread
from typing import IO, Any

from kvtui.bench.child import NO_BACKEND
from kvtui.bench.runner import BackendError, Control
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

LAST_LINES, EXIT_SECONDS = 20, 2.0


class TaskError(RuntimeError):
    """A task that ended without an answer. The message is one line."""


def events(task: str, job: Mapping[str, Any], control: Control, device: str | None = None) -> Generator[dict[str, Any]]:
    """What the task tells of ``job``, event by event, until it is done or ``control`` cancels it.

    Its process ends with this iterator, however that ends. Raises InputError and OSError as the task does, BackendError
    when JAX or the device is not there, and TaskError for anything else that ends it.
    """
    words = [sys.executable, "-m", "kvtui.bench.tasks", task, *([] if device is None else ["--device", device])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace", start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    said: deque[str] = deque(maxlen=LAST_LINES)
    listener = Thread(target=_listen, args=(process.stderr, said), daemon=True)
    listener.start()
    control.kills(lambda: _kill(process))
    try:
        with suppress(OSError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            event = _event(line)
            if event.get("event") == "done":
                return
            if event.get("event") == "failed":
                raise _failure(event)
            if event:
                yield event
        process.wait()
        listener.join(EXIT_SECONDS)
        if control.cancelled:
            return
        raise _ended(process.returncode, said[-1] if said else "")
    finally:
        control.kills(None)
        _kill(process)
        process.wait()
        listener.join(EXIT_SECONDS)
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()


def _listen(stream: IO[str], said: deque[str]) -> None:
    with stream:
        said.extend(line.strip() for line in stream if line.strip())


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _failure(event: Mapping[str, Any]) -> Exception:
    message = plain(str(event.get("message")), limit=400)
    match event.get("kind"):
        case "input":
            return InputError(message)
        case "os":
            return OSError(event.get("errno") or 0, message, event.get("file"))
    return TaskError(message)


def _ended(code: int, last: str) -> Exception:
    words = plain(last.removeprefix("kvtui: "), limit=300)
    if code == NO_BACKEND:
        return BackendError(words or "no backend")
    if code == -signal.SIGKILL:
        return TaskError("the process was killed (SIGKILL; the kernel does so when memory runs out)")
    return TaskError(f"the process ended with {code}{f': {words}' if words else ''}")


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process and all that it started, unless it has ended by itself."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
