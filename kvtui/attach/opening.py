"""What a person names to watch: addresses, a Prometheus, a recording, the demo, or whatever listens on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from kvtui.attach.attachment import Watched, WatchedServer
from kvtui.attach.devices import DeviceCounters
from kvtui.attach.events import FollowedEvents
from kvtui.attach.find import listening
from kvtui.attach.fleet import SCHEME, Fleet
from kvtui.attach.http import HttpServer, read_address
from kvtui.attach.recorder import Recorder
from kvtui.attach.source import LiveServers, PlayedRecording, TrafficSource
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import open_to_read, unreadable
from kvtui.engine.basis.places import DATA, confined
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.recording import read_recording
from kvtui.engine.live.servers import NOTHING_BESIDES, PORTS, ToldBesides
from kvtui.engine.live.snapshot import Snapshot

DEMO = "demo"
ENDING = ".jsonl"


def recording_in(names: Sequence[str]) -> str | None:
    """The path of the recording among ``names``; None where there are only servers.

    Raises InputError for a recording beside something else: it is played alone.
    """
    files = [name for name in names if _is_file(name)]
    if files and len(names) > 1:
        raise InputError(f"watch: '{plain(files[0])}' is a recording, which is played alone")
    if not files:
        return None
    return os.path.join(DATA, "recordings", f"{DEMO}{ENDING}") if files[0] == DEMO else files[0]


def _is_file(name: str) -> bool:
    if name == DEMO or name.endswith(ENDING):
        return True
    return "://" not in name and not name.startswith(SCHEME) and confined() is None and os.path.isfile(name)


def snapshots_of(path: str) -> Iterator[Snapshot]:
    """The snapshots of the recording at ``path``. Raises InputError for what is none."""
    from io import TextIOWrapper

    try:
        stream = open_to_read(path)
    except OSError as error:
        raise unreadable(path, error) from None
    with stream, TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="\n") as lines:
        yield from read_recording(lines, plain(path, 400))


def watched_at(names: Sequence[str], token: str = "", told: ToldBesides = NOTHING_BESIDES) -> list[Watched]:
    """The servers that ``names`` are, or those that listen on this machine's loopback where there are none.

    The ``token`` is for servers that were named: what just happens to listen gets none.
    Raises InputError for a name that is no address, and where nothing listens.
    """
    if not names:
        names, token = listening(), ""
        if not names:
            ports = ", ".join(map(str, sorted(PORTS)))
            raise InputError(f"watch: no server listens on the usual ports of this machine: {ports}")
    found: list[Watched] = []
    for name in dict.fromkeys(names):
        if name.startswith(SCHEME):
            found.append(Fleet(HttpServer(read_address(name.removeprefix(SCHEME)), token)))
            continue
        address = read_address(name)
        beside = FollowedEvents(address), DeviceCounters(address)
        found.append(WatchedServer(HttpServer(address, token), told, beside))
    return found


def source_of(
    names: Sequence[str],
    token: str = "",
    told: ToldBesides = NOTHING_BESIDES,
    seconds: float = 1.0,
    record: str | None = None,
) -> TrafficSource:
    """What ``names`` are as a source of snapshots; all are recorded in the file ``record``, if that is given.

    Raises InputError as ``watched_at`` and ``Recorder`` do.
    """
    path = recording_in(names)
    if path is None and confined() is not None:
        raise InputError("watch: a visitor's app opens no connections; demo plays a recording")
    if path is not None:
        if record is not None:
            raise InputError("--record: a recording is not recorded again")
        return PlayedRecording(names[0], lambda: snapshots_of(path))
    watched = watched_at(names, token, told)
    return LiveServers(watched, seconds, None if record is None else Recorder(record))
