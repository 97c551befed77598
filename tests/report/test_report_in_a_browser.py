"""The HTML report in a real browser: what is under the pointer, what is enlarged, and the same page without scripts."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from kvtui.report import render
from tests.nightly import nightly
from tests.report.report_scenarios import made

CHROMIUM = shutil.which("chromium")
PATIENCE_SECONDS = 60
pytestmark = [nightly, pytest.mark.skipif(CHROMIUM is None, reason="no chromium")]


class Page:
    """A page of a browser, by the browser's own protocol; ``asked`` are the addresses that it wanted."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.asked: list[str] = []
        self.complaints: list[str] = []

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self._socket.receive(), PATIENCE_SECONDS)
            assert message.type is WSMsgType.TEXT
            found = json.loads(message.data)
            if found.get("method") == "Network.requestWillBeSent":
                self.asked.append(found["params"]["request"]["url"])
            if found.get("method") == "Log.entryAdded":
                self.complaints.append(found["params"]["entry"]["text"])
            if found.get("id") == self._number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result

    async def value(self, script: str) -> Any:
        found = await self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not await self.value(script):
            assert time.monotonic() < end, script
            await asyncio.sleep(0.05)

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        await self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def key(self, key: str, text: str = "") -> None:
        await self.do("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self, path: Path) -> None:
        path.write_bytes(b64decode((await self.do("Page.captureScreenshot"))["data"]))


@asynccontextmanager
async def opened(file: Path, folder: Path, *, scripts: bool = True, dark: bool = False) -> AsyncIterator[Page]:
    assert CHROMIUM is not None
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1200,900"]
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *words, f"--user-data-dir={folder}", "about:blank", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port, end = folder / "DevToolsActivePort", time.monotonic() + PATIENCE_SECONDS
        while not port.exists() or "\n" not in port.read_text():
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().split()[0]}"
        async with ClientSession() as session:
            async with session.get(f"{address}/json/list") as answer:
                targets = await answer.json(content_type=None)
            target = next(one for one in targets if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Network", "Log"):
                    await page.do(f"{domain}.enable")
                scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
                await page.do("Emulation.setEmulatedMedia", features=scheme)
                if not scripts:
                    await page.do("Emulation.setScriptExecutionDisabled", value=True)
                await page.do("Page.navigate", url=file.as_uri())
                await page.until("document.readyState == 'complete' && !!document.querySelector('footer')")
                yield page
    finally:
        browser.kill()
        await browser.wait()


def run(tmp_path: Path, script: Callable[[Page], Awaitable[None]], **how: bool) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(made("paged"), "html"), encoding="utf-8")

    async def inside() -> None:
        async with opened(file, tmp_path / "browser", **how) as page:
            await script(page)
            assert {address for address in page.asked if not address.startswith("data:")} <= {file.as_uri()}
            assert page.complaints == []

    asyncio.run(inside())


MIDDLE = """(() => { const box = [...document.querySelectorAll('figure svg[role=img] path')].filter(p => p.closest('g'))
[%d].getBoundingClientRect(); return [box.left + 6, box.top + 6]; })()"""
VIEW = "document.querySelector('figure svg[role=img]').getAttribute('viewBox').split(' ').map(Number)"


@pytest.mark.parametrize("dark", [False, True])
def test_hover_and_zoom(tmp_path: Path, dark: bool) -> None:
    async def script(page: Page) -> None:
        whole = await page.value(VIEW)
        x, y = await page.value(MIDDLE % 0)
        await page.mouse("mouseMoved", x, y)
        await page.until("!document.querySelector('.tip').hidden")
        words = await page.value("document.querySelector('.tip').textContent")
        title, _, bank = words.partition("\n")
        legend = await page.value("[...document.querySelectorAll('.legend li')].map(li => li.textContent.trim())")
        assert title.replace(": ", " ") in legend
        assert bank.endswith("bank 1")
        await page.picture(tmp_path / f"hover-{dark}.png")

        await page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
        assert await page.value(VIEW) == whole, "the page scrolls until the picture was clicked"
        await page.value("scrollTo(0, 0)")
        x, y = await page.value(MIDDLE % 0)
        for kind in ("mousePressed", "mouseReleased"):
            await page.mouse(kind, x, y, button="left", clickCount=1)
        await page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
        await page.until(f"{VIEW}[2] < {whole[2]} / 2")
        await page.picture(tmp_path / f"zoom-{dark}.png")
        near = await page.value(VIEW)
        await page.mouse("mousePressed", x + 60, y + 40, button="left", clickCount=1)
        await page.mouse("mouseMoved", x + 20, y + 20, button="left", buttons=1)
        await page.mouse("mouseReleased", x + 20, y + 20, button="left", clickCount=1)
        await page.until(f"{VIEW}[0] > {near[0]}")
        await page.key("0", "0")
        await page.until(f"{VIEW}[2] == {whole[2]} && {VIEW}[0] == 0")
        await page.key("+", "+")
        await page.until(f"{VIEW}[2] < {whole[2]}")
        before = await page.value(VIEW)
        await page.key("ArrowRight")
        await page.until(f"{VIEW}[0] > {before[0]}")
        await page.value("[...document.querySelectorAll('.tools button')].at(-1).click()")
        assert await page.value(VIEW) == whole

    run(tmp_path, script, dark=dark)


def test_without_scripts_titles_stay(tmp_path: Path) -> None:
    async def script(page: Page) -> None:
        assert await page.value("document.querySelectorAll('.tools, .tip').length") == 0
        assert await page.value("document.querySelectorAll('figure g path > title').length") > 5

    run(tmp_path, script, scripts=False)
