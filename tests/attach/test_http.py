"""One server over HTTP: kept alive, bounded in time and size, and nowhere else."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from kvtui.attach import http
from kvtui.attach.attachment import Attachment, WatchedServer
from kvtui.attach.http import HttpServer, NoReply, read_address
from kvtui.attach.token import VARIABLE, read_token
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.snapshot import Snapshot
from tests.attach.serving import answering, pages, whole

QUICK = 0.4


def refused(address: str, path: str = "/metrics", token: str = "", seconds: float = QUICK) -> str:
    """Why the server gives no reply."""
    with closing(HttpServer(address, token, seconds)) as server, pytest.raises(NoReply) as error:
        server.get(path)
    assert str(error.value).isprintable()
    return str(error.value)


def test_one_connection_is_kept_and_opened_again() -> None:
    opened: list[socket.socket] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        opened.append(connection)
        connection.sendall(whole(b"ok"))
        if len(opened) == 2:
            connection.close()

    with answering(answer) as (address, seen):
        server = HttpServer(address)
        assert [server.get("/metrics").text for _ in range(4)] == ["ok"] * 4
        server.close()
        assert len({id(one) for one in opened}) == 2
        assert all(b"GET /metrics HTTP/1.1" in request for request in seen)
        assert len(seen) == 4


def test_a_server_that_says_one_byte_at_a_time_is_given_up() -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        for byte in whole(b"x" * 100_000):
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    with answering(answer) as (address, _):
        begin = time.monotonic()
        assert "in time" in refused(address)
        assert time.monotonic() - begin < 5 * QUICK


def test_silence_and_endless_headers_are_given_up() -> None:
    with answering(lambda *_: None) as (address, _):
        assert "in time" in refused(address)

    def headers(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")

    with answering(headers) as (address, _):
        refused(address, seconds=2)


def test_an_endless_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 2**20)

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    with answering(answer) as (address, _):
        assert "longer than 1 MiB" in refused(address, seconds=10)


@pytest.mark.parametrize("response", [b"\x00\x01\x02 nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x1b[2J\r\n"])
def test_what_is_no_http_is_said_without_escapes(response: bytes) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(response)
        connection.close()

    with answering(answer) as (address, _):
        refused(address)


def test_a_redirect_elsewhere_is_refused_and_takes_no_token() -> None:
    with answering(pages({"/metrics": b"stolen"})) as (other, stolen):

        def answer(connection: socket.socket, request: bytes) -> None:
            connection.sendall(whole(b"", "302 Found", f"Location: {other}/metrics"))

        with answering(answer) as (address, _):
            assert "redirects elsewhere" in refused(address, token="secret")
        assert stolen == []


def test_a_redirect_on_the_same_server_is_followed_a_few_times() -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        if b"GET /metrics/ " in request:
            connection.sendall(whole(b"here"))
        elif b"GET /round " in request:
            connection.sendall(whole(b"", "302 Found", "Location: /round"))
        else:
            connection.sendall(whole(b"", "307 Temporary Redirect", "Location: /metrics/"))

    with answering(answer) as (address, seen):
        with closing(HttpServer(address, "secret")) as server:
            assert server.get("/metrics").text == "here"
        assert all(b"Authorization: Bearer secret" in request for request in seen)
        assert "again and again" in refused(address, "/round")


def test_a_packed_reply_that_nobody_asked_for_is_refused() -> None:
    packed = whole(b"\x1f\x8b" + b"\0" * 20, "200 OK", "Content-Encoding: gzip")
    with answering(lambda connection, _: connection.sendall(packed)) as (address, _):
        assert "packed" in refused(address)


def test_nothing_there_and_no_tls_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "nothing listens" in refused(f"http://127.0.0.1:{port}")
    with answering(pages({})) as (address, _):
        refused(address.replace("http:", "https:"))


def test_addresses() -> None:
    assert read_address("localhost:8000") == "http://localhost:8000"
    assert read_address("https://host/base/") == "https://host/base"
    for wrong in ("ftp://x", "http://", "http://a b", "http://user:pass@host", "http://host:port", "http://h\x1b"):
        with pytest.raises(InputError) as error:
            read_address(wrong)
        assert str(error.value).isprintable()
        assert "pass" not in str(error.value).replace("name and password", "")


def test_a_token_comes_from_three_places_and_is_never_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    monkeypatch.setenv(VARIABLE, "from-environment")
    assert read_token("given", str(file)) == "given"
    assert read_token(None, str(file)) == "from-file"
    assert read_token(None, None) == "from-environment"
    with pytest.raises(InputError) as error:
        read_token("two\nlines", None)
    assert "lines" not in str(error.value)


def test_a_silent_server_is_asked_more_seldom_and_found_again() -> None:
    states: list[str] = []
    answers = {"/metrics": b"vllm:num_requests_running 1\n"}

    def answer(connection: socket.socket, request: bytes) -> None:
        if len(states) in (2, 3):
            connection.close()
            return
        pages(answers)(connection, request)

    with answering(answer) as (address, _):
        watched = WatchedServer(HttpServer(address, seconds=QUICK))
        for _ in range(6):
            states.append(watched.look().state)  # noqa: PERF401  what is answered hangs on how many there are
        watched.close()
    assert states == ["up", "up", "silent", "silent", "up", "up"]


def test_a_look_costs_one_request_after_the_first() -> None:
    with answering(pages({"/metrics": b"vllm:num_requests_running 1\n"})) as (address, seen):
        watched = WatchedServer(HttpServer(address))
        watched.look()
        first = len(seen)
        for _ in range(5):
            watched.look()
        watched.close()
        assert len(seen) == first + 5


def test_an_attachment_hands_snapshots_on_and_stops() -> None:
    found: list[Snapshot] = []
    with answering(pages({"/metrics": b"vllm:num_requests_running 1\n"})) as (address, _):
        attachment = Attachment(WatchedServer(HttpServer(address)), found.append, 0.02).start()
        until = time.monotonic() + 10
        while len(found) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        attachment.stop()
    assert len(found) >= 4
    assert {snapshot.state for snapshot in found[:4]} == {"up"}
