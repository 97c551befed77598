"""A Dask cluster, by the address of its scheduler: the one way in, where its absence and its faults become one line.

What is submitted runs in the workers' processes, one call for each unit of a worker's resource ``device`` where it
needs one. A worker that dies has its calls done again by another, some times; then the call ends with that reason.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import counted
from kvtui.engine.basis.untrusted import plain

INSTALL = "pip install 'kvtui[cluster]'"
DEVICE = "device"
"""The resource that a worker has one unit of for each device it may use."""
CONNECT_SECONDS = 10
ANSWER_SECONDS = 12
GATHER_SECONDS = 30
CLOSE_SECONDS = 5
WORKER_SECONDS = 60
LOGGERS = ("distributed", "distributed.client", "distributed.comm", "tornado.application")
"""They tell at length, on stderr, what is told here in a line."""

T = TypeVar("T")


class LostClusterError(InputError):
    """The scheduler that was named is gone. The message is one line."""


class Ended(NamedTuple):
    """How a call ended: its ``result`` and the ``worker`` that gave it, or the ``problem`` that there is none.

    ``worker_died`` means that it was given to several workers, and each died.
    """

    call: Any
    result: Any
    worker: str = ""
    problem: str | None = None
    worker_died: bool = False


class DaskCluster:
    """What the workers of a cluster are asked to do; ``wait`` tells of each call when it has ended.

    ``lost`` says that its scheduler is gone.
    """

    def __init__(self, address: str, client: Any, killed: Any) -> None:
        self.address, self.lost, self._client, self._killed = address, False, client, killed
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._calls: dict[str, tuple[Any, Any]] = {}

    def submit(
        self,
        call: Any,
        function: Callable[..., Any],
        *given: Any,
        device: bool = False,
        on: Iterable[str] | None = None,
    ) -> None:
        """Have ``function`` called with what is ``given``; ``call`` is what its end is told by.

        With ``device`` it has a device of its own, and ``on`` names the workers that may do it. Earlier calls go first.
        """
        future = self._client.submit(
            _placed,
            function,
            given,
            pure=False,
            resources={DEVICE: 1} if device else None,
            workers=None if on is None else list(on),
        )
        self._calls[future.key] = call, future
        future.add_done_callback(self._ended.put)

    def wait(self, seconds: float | None = None) -> Ended | None:
        """The next call that has ended; None when there was none for so long, or ``wake`` was called.

        Raises LostClusterError when the scheduler is gone.
        """
        try:
            future = self._ended.get(timeout=seconds)
        except Empty:
            future = None
        if future is None:
            if self._client.status not in ("running", "connecting"):
                raise self._lost()
            return None
        if future.status in ("cancelled", "lost"):
            raise self._lost()
        if future.key not in self._calls:
            return None
        return self._told(future)

    def wake(self) -> None:
        """End a ``wait`` in another thread, or in what a signal has interrupted."""
        self._ended.put(None)

    def forget(self) -> None:
        """Take back all calls that have not ended: those that nobody has begun are never done."""
        futures = [] if self.lost else [future for _, future in self._calls.values()]
        self._calls.clear()
        with suppress(Exception):
            self._client.cancel(futures, force=True)

    def everywhere(self, function: Callable[..., Any], *given: Any) -> dict[str, Any]:
        """What ``function`` gives in each worker's process now, beside its calls; an exception is given as one.

        Nothing where not all of them answer in time, or the scheduler is gone.
        """
        with suppress(Exception):
            return _within(ANSWER_SECONDS, lambda: self._client.run(function, *given, on_error="return")) or {}
        return {}

    def share(self, value: Any) -> Any:
        """``value`` on every worker, to be given to calls in its place. Raises InputError where no worker comes."""
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise InputError(f"--dask: no worker came to the scheduler at '{plain(self.address, 80)}'") from None
        (there,) = self._client.scatter([value], broadcast=True, hash=False)
        return there

    def workers(self) -> Mapping[str, float]:
        """The workers that are there, and how many devices each has."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        return {at: one.get("resources", {}).get(DEVICE, 0) for at, one in found.items()}

    def _told(self, future: Any) -> Ended | None:
        call, _ = self._calls[future.key]
        try:
            worker, result = future.result(timeout=GATHER_SECONDS)
        except TimeoutError:
            future.add_done_callback(self._ended.put)
            return None
        except self._killed as error:
            del self._calls[future.key]
            last = plain(error.last_worker.address, 80)
            died = f"its worker died, {counted(error.allowed_failures + 1, 'time')}, last {last}"
            return Ended(call, None, last, died, worker_died=True)
        except Exception as error:  # noqa: BLE001  whatever the call raised
            del self._calls[future.key]
            return Ended(call, None, problem=plain(f"{type(error).__name__}: {' '.join(str(error).split())}", 300))
        del self._calls[future.key]
        return Ended(call, result, plain(str(worker), 80))

    def _lost(self) -> LostClusterError:
        self.lost = True
        return LostClusterError(f"--dask: the scheduler at '{plain(self.address, 80)}' is gone")


def _placed(function: Callable[..., Any], given: tuple[Any, ...]) -> tuple[str, Any]:
    """What ``function`` gives, and the worker in whose process this runs."""
    from distributed import get_worker

    return get_worker().address, function(*given)


@contextmanager
def connected(address: str) -> Iterator[DaskCluster]:
    """The cluster whose scheduler is at ``address``.

    Raises InputError where Dask is not installed, or no scheduler answers within ten seconds.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(f"--dask: needs the package distributed: {INSTALL}") from None
    if not address.strip():
        raise InputError("--dask: expected the address of a scheduler, such as tcp://host:8786")
    with _quiet():
        client = _within(ANSWER_SECONDS, lambda: _client(distributed, address))
        if client is None:
            raise InputError(f"--dask: '{plain(address, 80)}' is there, and does not answer as a Dask scheduler does")
        try:
            yield DaskCluster(address, client, distributed.scheduler.KilledWorker)
        finally:
            with suppress(Exception):
                _within(CLOSE_SECONDS, client.close)


def _client(distributed: Any, address: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        said = plain(" ".join(str(error).split()), 120)
    except Exception as error:  # noqa: BLE001  another protocol is misunderstood in every way
        said = f"what answers is none: {plain(type(error).__name__, 60)}"
    raise InputError(f"--dask: no scheduler at '{plain(address, 80)}': {said}")


def _within(seconds: float, ask: Callable[[], T]) -> T | None:
    """What ``ask`` gives or raises, in a thread of its own; None when it takes longer, and goes on without end."""
    found: list[T] = []
    raised: list[Exception] = []

    def answer() -> None:
        try:
            found.append(ask())
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised by who asked
            raised.append(error)

    asking = Thread(target=answer, daemon=True)
    asking.start()
    asking.join(seconds)
    if raised:
        raise raised[0]
    return found[0] if found else None


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
