"""One server over HTTP: a connection that is kept alive, with an end to every wait and to every body.

A server that is slow to say each byte, that never stops, or that points elsewhere is given up within the time allowed;
redirects are followed on the same server only, and a token goes nowhere else. TLS certificates are always checked.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic, time
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from kvtui import __version__
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.servers import Reply

SECONDS = 5.0
"""The longest that one request takes, from its first byte to its last."""

MOST_BYTES = 16 * 2**20
MOST_REDIRECTS = 2
REDIRECTS = (301, 302, 303, 307, 308)


class NoReply(Exception):
    """A request that got no reply that can be used; the message says why, in words that are harmless to show."""


def read_address(text: str) -> str:
    """``text`` as the address of a server, without a path's end: ``localhost:8000`` is ``http://localhost:8000``.

    Raises InputError for another scheme than http and https, for a name and password in it, and for no host.
    """
    whole = text if "://" in text else f"http://{text}"
    try:
        found = urlsplit(whole)
        _ = found.port
    except ValueError as error:
        raise InputError(f"'{plain(text, 80)}' is not an address: {plain(str(error), 60)}") from None
    if found.scheme not in ("http", "https") or not found.hostname or not whole.isprintable() or " " in whole:
        raise InputError(f"'{plain(text, 80)}' is not an address such as http://localhost:8000")
    if found.username is not None:
        raise InputError("an address holds no name and password; a token comes from --token-file or KVTUI_TOKEN")
    return f"{found.scheme}://{found.netloc}{found.path.rstrip('/')}"


class HttpServer:
    """The server at ``address``. ``token`` is sent with every request and shown nowhere.

    Not for two threads at once.
    """

    def __init__(self, address: str, token: str = "", seconds: float = SECONDS) -> None:
        self.address, self._token, self._seconds = address, token, seconds
        self._parts = urlsplit(address)
        self._connection: HTTPConnection | None = None
        self._until = 0.0

    def get(self, path: str) -> Reply:
        """The reply to ``path``, which begins with a slash. Raises NoReply."""
        until = monotonic() + self._seconds
        target = self._parts.path + path
        for _ in range(MOST_REDIRECTS + 1):
            status, body, location = self._asked(target, until)
            if status not in REDIRECTS:
                return Reply(path, time(), status, body)
            target = self._same_server(target, location)
        raise NoReply("it redirects again and again")

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self, target: str, until: float) -> tuple[int, bytes, str]:
        """Ask once, and once more where the server closed a connection that was kept."""
        kept = self._connection is not None
        try:
            return self._once(target, until)
        except (HTTPException, OSError, ValueError) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError):
                raise NoReply(_why(error)) from None
        try:
            return self._once(target, until)
        except (HTTPException, OSError, ValueError) as error:
            self.close()
            raise NoReply(_why(error)) from None

    def _once(self, target: str, until: float) -> tuple[int, bytes, str]:
        connection = self._connected(until)
        headers = {"Accept": "*/*", "User-Agent": f"kvtui/{__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._until = until
        connection.request("GET", target, headers=headers)
        response: HTTPResponse = connection.getresponse()
        encoding = response.getheader("Content-Encoding", "identity")
        body = response.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            self.close()
            raise NoReply(f"its reply is longer than {MOST_BYTES >> 20} MiB")
        if encoding.strip().lower() not in ("", "identity"):
            self.close()
            raise NoReply(f"its reply is packed ({plain(encoding, 20)}) though that was not asked for")
        if response.will_close:
            self.close()
        return response.status, body, response.getheader("Location", "") or ""

    def _connected(self, until: float) -> HTTPConnection:
        if self._connection is not None and self._connection.sock is not None:
            return self._connection
        host, port = self._parts.hostname or "", self._parts.port
        left = max(0.01, until - monotonic())
        if self._parts.scheme == "https":
            from ssl import create_default_context

            connection: HTTPConnection = HTTPSConnection(host, port, timeout=left, context=create_default_context())
        else:
            connection = HTTPConnection(host, port, timeout=left)
        connection.connect()
        connection.sock = _TimedSocket(connection.sock, lambda: self._until)
        self._connection = connection
        return connection

    def _same_server(self, target: str, location: str) -> str:
        """The target on this server that a redirect points to. Raises NoReply for one that leads elsewhere."""
        here = SplitResult(self._parts.scheme, self._parts.netloc, target, "", "").geturl()
        try:
            there = urlsplit(urljoin(here, location))
        except ValueError:
            raise NoReply("it redirects to what is no address") from None
        if (there.scheme, there.netloc) != (self._parts.scheme, self._parts.netloc):
            raise NoReply(f"it redirects elsewhere, to {plain(location, 80)}: that is not followed")
        return there.path + (f"?{there.query}" if there.query else "")


class _TimedSocket:
    """A socket on which nothing waits beyond the moment that ``until`` gives, however many reads that takes."""

    def __init__(self, sock: socket.socket, until: Callable[[], float]) -> None:
        self._sock, self._until = sock, until

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self))

    def receive(self, into: Any) -> int:
        self._sock.settimeout(self._left())
        return self._sock.recv_into(into)

    def close(self) -> None:
        self._sock.close()

    def _left(self) -> float:
        left = self._until() - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: _TimedSocket) -> None:
        self._timed = sock

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        return self._timed.receive(into)


def _why(error: Exception) -> str:
    """What became of a request, in words."""
    match error:
        case TimeoutError():
            return "it does not answer in time"
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return "no such host"
        case OSError() if "CERTIFICATE" in str(error):
            return f"its certificate is not trusted: {plain(str(error), 160)}"
        case OSError():
            return plain(error.strerror or type(error).__name__, 120)
    return f"its reply is no HTTP: {plain(str(error) or type(error).__name__, 120)}"
