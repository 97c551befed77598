"""Small servers on loopback that answer as they are told to: on time, never, for ever, or with what they should not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answering = Callable[[socket.socket, bytes], None]


@contextmanager
def answering(answer: Answering) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that hands each connection's request to ``answer``, and all requests so far."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []
    open_sockets: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            while request := _request(connection):
                seen.append(request)
                answer(connection, request)
        except OSError:
            pass
        finally:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.close()
        for one in open_sockets:
            one.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(4096)
        if not piece:
            return b""
        data += piece
    return data


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A response with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pages(of: dict[str, bytes]) -> Answering:
    """Bodies by path; 404 for the rest."""

    def answer(connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        found = of.get(path)
        connection.sendall(whole(b"", "404 Not Found") if found is None else whole(found))

    return answer
