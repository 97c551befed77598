"""The app in a browser: who is let in, what a visitor's app may do, and a real browser where there is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar, WSMsgType, WSServerHandshakeError

from kvtui.attach.opening import source_of
from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.sources.load import load_model
from tests.nightly import NIGHTLY, nightly
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX")

TOKEN = "abcdefgh12345678"
PATIENCE_SECONDS = 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "--host: others can reach '0.0.0.0'; --token-file is needed"),
        (["--port", "0"], "--port: "),
        (["--visitors", "-1"], "--visitors: "),
        (["--idle", "x"], "--idle: "),
        (["--token-file", "no/such"], "--token-file: no/such: No such file"),
        (["--token-file", "short"], "--token-file: a token is 16 or more"),
    ],
)
def test_wrong_options(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("abc")
    with pytest.raises(SystemExit) as caught:
        main(["serve", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"kvtui: {said}")


def test_a_confined_process_has_its_folder_and_the_package_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    (own / "link").symlink_to(other / "config.json")
    monkeypatch.setenv("KVTUI_CONFINED", str(own))
    assert read_text(own / "config.json", 10) == "{}"
    write_whole(own / "new", "x")
    for path in (
        other / "config.json",
        own / "link",
        own / ".." / "other" / "config.json",
        "/dev/stdin",
        "/etc/passwd",
    ):
        with pytest.raises(InputError, match="not for visitors"):
            read_text(path, 10)
        with pytest.raises(PermissionError):
            write_whole(path, "x")
    assert (other / "config.json").read_text() == "{}"
    for name in (str(other), str(other / "config.json"), "hf:Qwen/Qwen3-8B"):
        with pytest.raises(InputError):
            load_model(name)
    assert load_model("Qwen3-8B").name == "Qwen3-8B"
    for names in ([], ["http://localhost:8000"], ["prometheus:http://localhost:9090"]):
        with pytest.raises(InputError, match="opens no connections"):
            source_of(names)
    source_of(["demo"]).close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def served(port: int, *words: str) -> Iterator[str]:
    """The address of a server, which ends with 143 and leaves no app behind."""
    command = [sys.executable, "-m", "kvtui", "serve", "--port", str(port), *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        server.stderr.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_SECONDS) == 143
            assert "Traceback" not in server.stderr.read()


async def health(session: ClientSession, address: str) -> dict[str, object]:
    """What the health page says, which is there before anything else is."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with session.get(f"{address}/health") as answer:
                found: dict[str, object] = await answer.json()
                return found
        except OSError:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)


async def visitors(session: ClientSession, address: str, wanted: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while (await health(session, address))["visitors"] != wanted:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


def test_who_is_let_in(port: int, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)

    async def script(address: str) -> None:
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:  # also for addresses
            await health(session, address)
            for path, headers in (
                ("/", {}),
                ("/?token=wrong", {}),
                ("/ws", {}),
                ("/static/js/textual.js", {}),
                (f"/?token={TOKEN}", {"Host": "example.org"}),
                (f"/?token={TOKEN}", {"Origin": "http://example.org"}),
            ):
                async with session.get(f"{address}{path}", headers=headers) as refused:
                    assert refused.status == 403, path
            async with session.get(f"{address}/?token={TOKEN}") as page:
                assert (page.status, page.url.query_string) == (200, "")
                assert "default-src 'self'" in page.headers["Content-Security-Policy"]
                text = await page.text()
            assert "googleapis" not in text
            assert f"{address}/static/css/xterm.css" in text
            with pytest.raises(WSServerHandshakeError):
                await session.ws_connect(f"{address}/ws", origin="http://example.org")

    with served(port, "--token-file", str(token)) as address:
        asyncio.run(script(address))


def test_a_visit_draws_is_limited_and_leaves_nothing(port: int) -> None:
    async def script(address: str) -> None:
        async with ClientSession() as session:
            await health(session, address)
            async with session.ws_connect(f"{address}/ws?width=100&height=30") as visit:
                seen = b""
                while b"HBM3" not in seen:
                    message = await asyncio.wait_for(visit.receive(), PATIENCE_SECONDS)
                    assert message.type is WSMsgType.BINARY
                    seen += message.data
                with pytest.raises(WSServerHandshakeError) as full:
                    await session.ws_connect(f"{address}/ws")
                assert full.value.status == 503
                await visit.send_json(["resize", {"width": 10**9, "height": -1}])
                await visit.send_json(["stdin", "q"])
                while (await asyncio.wait_for(visit.receive(), PATIENCE_SECONDS)).type is WSMsgType.BINARY:
                    pass
            await visitors(session, address, 0)
            for nonsense in ("{", "[1, 2]", '["resize", {}]', "[" * 9000)[:: 1 if NIGHTLY else 2]:
                async with session.ws_connect(f"{address}/ws") as visit:
                    await visit.send_str(nonsense)
                await visitors(session, address, 0)

    with served(port, "--visitors", "1") as address:
        asyncio.run(script(address))


@nightly
def test_a_visitor_who_does_nothing_leaves_and_one_who_types_stays(port: int) -> None:
    """Half a minute of a page that only says that it is there, beside one that presses keys."""
    code = f"from kvtui.commands.browser import Browsers; Browsers('127.0.0.1', {port}, '', 2, 20.0).serve_all()"

    async def until_gone(visit: ClientWebSocketResponse, sent: list[str], end: float) -> bool:
        """Whether the visit ended before ``end``, while ``sent`` is sent every second."""
        while time.monotonic() < end:
            if visit.closed:
                return True
            await visit.send_json(sent)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while (await visit.receive()).type is WSMsgType.BINARY:
                        pass
        return False

    async def script(address: str) -> None:
        async with ClientSession() as session:
            await health(session, address)
            async with session.ws_connect(f"{address}/ws") as still, session.ws_connect(f"{address}/ws") as typing:
                end = time.monotonic() + 2 * PATIENCE_SECONDS
                asleep = asyncio.create_task(until_gone(still, ["ping", "1"], end))
                awake = asyncio.create_task(until_gone(typing, ["stdin", "j"], end))
                assert await asleep
                assert not awake.done()
                awake.cancel()
            await visitors(session, address, 0)

    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as server:
        try:
            asyncio.run(script(f"http://127.0.0.1:{port}"))
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)


@nightly
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_in_a_real_browser(port: int, tmp_path: Path) -> None:
    """Open, press keys, click, resize, play, export, close; nothing is asked of anywhere else."""
    playwright = pytest.importorskip("playwright.sync_api")
    with served(port) as address, playwright.sync_playwright() as one:
        browser = one.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/")
        page.wait_for_selector("body.-first-byte", timeout=1000 * PATIENCE_SECONDS)
        page.wait_for_timeout(3000)
        before = page.screenshot()
        page.keyboard.press("6")
        page.wait_for_timeout(3000)
        assert page.screenshot() != before
        page.locator("#terminal").click()
        for key in ("3", "1", "Space"):
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
            assert page.screenshot() != before
        page.set_viewport_size({"width": 1000, "height": 700})
        page.wait_for_timeout(1500)
        page.keyboard.press("Space")
        page.keyboard.press("x")
        page.wait_for_timeout(1500)
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        download.value.save_as(tmp_path / "got.svg")
        assert (tmp_path / "got.svg").read_text().startswith("<svg")
        page.close()
        browser.close()
        assert all(url.startswith((address, "data:")) for url in asked)
