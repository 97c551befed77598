"""Many servers by way of Prometheus: one query of its API a beat has the metrics of all of them.

Every instance that publishes an engine's metrics is a server. What an engine tells elsewhere than in metrics, such as
the slots of llama.cpp, Prometheus does not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from time import time
from typing import Any
from urllib.parse import quote

from kvtui.attach.attachment import Asked
from kvtui.attach.http import NoReply
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.exposition import PromSample
from kvtui.engine.live.names import PREFIXES, STARTED, engine_of, wanted
from kvtui.engine.live.ranks import published
from kvtui.engine.live.servers import Reply, by_published
from kvtui.engine.live.snapshot import Snapshot

SCHEME = "prometheus:"
MOST_SERVERS = 500
QUERY = '{{__name__=~"({}).*|{}"}}'.format("|".join(prefix for prefix in PREFIXES), STARTED)
PATH = f"/api/v1/query?query={quote(QUERY)}"


class Fleet:
    """The servers that the Prometheus behind ``asked`` scrapes."""

    def __init__(self, asked: Asked, clock: Callable[[], float] = time) -> None:
        self.address = asked.address
        self._asked, self._clock = asked, clock

    def looks(self) -> tuple[Snapshot, ...]:
        """Every server as Prometheus has it now, the address of Prometheus itself where it does not answer."""
        now = self._clock()
        try:
            return servers_in(self._asked.get(PATH), now)
        except (NoReply, InputError) as error:
            return (Snapshot(now, self.address, "silent", str(error)),)

    def close(self) -> None:
        """Let go of it."""
        self._asked.close()


def servers_in(reply: Reply, now: float) -> tuple[Snapshot, ...]:
    """The servers in a reply to QUERY. Raises InputError for what is no vector of samples."""
    data = reply.fields.get("data")
    listed = data.get("result") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise InputError(f"Prometheus answers {reply.status} without a result: {plain(reply.text, 80)}")
    of: dict[str, list[PromSample]] = defaultdict(list)
    for one in listed:
        metric = _metric(one)
        if metric is not None:
            instance = metric.labels.get("instance", "unnamed")
            of[plain(f"{metric.labels.get('job', '')}/{instance}".lstrip("/"), 120)].append(metric)
    snapshots = []
    for address, metrics in sorted(of.items())[:MOST_SERVERS]:
        engine = next(filter(None, (engine_of(metric.name) for metric in metrics)), "")
        if engine:
            names = wanted(engine)
            found = Snapshot(now, address, engine=engine)
            snapshots.append(by_published(found, published(engine, (m for m in metrics if m.name in names))))
    return tuple(snapshots)


def _metric(one: Any) -> PromSample | None:
    labels = one.get("metric") if isinstance(one, dict) else None
    value = one.get("value") if isinstance(one, dict) else None
    if not isinstance(labels, dict) or not isinstance(value, list) or len(value) != 2:
        return None
    words = {key: text for key, text in labels.items() if isinstance(text, str)}
    try:
        number = float(value[1])
    except (TypeError, ValueError):
        return None
    return PromSample(words.get("__name__", ""), words, number) if abs(number) < float("inf") else None
