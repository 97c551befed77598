"""Servers of this machine: the usual ports of its loopback are looked at, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from kvtui.engine.live.servers import PORTS

LOOPBACK = "127.0.0.1"
SECONDS = 0.3


def listening(ports: Iterable[int] = PORTS) -> tuple[str, ...]:
    """The addresses on loopback where something listens, of the ``ports`` that servers usually take."""
    return tuple(f"http://{LOOPBACK}:{port}" for port in ports if _listens(port))


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), SECONDS):
            return True
    except OSError:
        return False
