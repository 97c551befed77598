"""A web server that gives each visitor an app of their own: a process, a folder, a limit and a time-out."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from kvtui import __version__

COOKIE = "kvtui"
MOST_COLUMNS, MOST_ROWS = 500, 200
MOST_MESSAGE = 2**17
END_SECONDS = 5.0
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LINK = re.compile(r"<link\s[^>]*>")
_FOCUS = """<script>
  addEventListener("DOMContentLoaded", () => new MutationObserver((_, observer) => {
    const keys = document.querySelector("#terminal textarea");
    if (keys && document.body.classList.contains("-first-byte")) {
      observer.disconnect();
      keys.focus();
    }
  }).observe(document.body, { attributes: true, childList: true, subtree: true }));
</script>"""
"""Keys go to the terminal from the first picture on, without a click."""


class Visit(AppService):
    """One visitor's app, in a folder that goes with it."""

    def __init__(self, folder: str, websocket: web.WebSocketResponse, server: Server) -> None:
        async def close() -> None:
            await websocket.close()

        super().__init__(
            "kvtui",
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=server.download_manager,
        )
        self._folder = folder

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        found: dict[str, str] = super()._build_environment(width, height)
        kept = {name: value for name, value in found.items() if not name.startswith("KVTUI_")}
        return {
            **kept,
            "TEXTUAL_FPS": "30",
            "KVTUI_CONFINED": self._folder,
            "KVTUI_CONFIG_DIR": os.path.join(self._folder, "config"),
            "KVTUI_STATE_DIR": os.path.join(self._folder, "state"),
        }

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "kvtui",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            cwd=self._folder,
            start_new_session=True,
        )
        self._stdin = process.stdin
        return process

    async def end(self) -> None:
        """End the app, whether it wants to or not, with all that it started."""
        with contextlib.suppress(asyncio.TimeoutError, OSError, RuntimeError):
            await asyncio.wait_for(self.stop(), END_SECONDS)
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


class Browsers(Server):
    """Serves the app at ``host`` and ``port`` to ``most`` visitors at a time, who leave after ``idle`` seconds."""

    def __init__(self, host: str, port: int, token: str, most: int, idle: float) -> None:
        super().__init__("kvtui", host=host, port=port, title="kvtui")
        self._token, self._most, self._idle = token, most, idle
        self._here = 0

    def serve_all(self) -> int:
        """Serve until a signal asks for the end; the exit code that says which."""
        codes: list[int] = []

        async def serving() -> None:
            ended = asyncio.Event()

            def end(number: int) -> None:
                codes.append(128 + number)
                ended.set()

            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, end, number)
            runner = web.AppRunner(await self._make_app(), shutdown_timeout=END_SECONDS)
            await runner.setup()
            try:
                await web.TCPSite(runner, self.host, self.port).start()
                await ended.wait()
            finally:
                await runner.cleanup()

        asyncio.run(serving())
        return codes[0]

    async def on_startup(self, app: web.Application) -> None:
        """Nothing is printed: the command has said where it is."""

    async def _make_app(self) -> web.Application:
        app: web.Application = await super()._make_app()
        app.middlewares.append(self._guard)
        app.router.add_get("/health", self._health)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may: by name of host and origin, and with the token where one is needed."""
        host = urlsplit(f"//{request.host}").hostname or ""
        if self.host in LOOPBACK_NAMES and host not in LOOPBACK_NAMES:
            raise web.HTTPForbidden(text="this server is for this machine alone")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="another site may not use this one")
        if request.path == "/health":
            return await handler(request)
        brought = request.query.get("token", "")
        if self._token and request.path == "/" and hmac.compare_digest(brought.encode(), self._token.encode()):
            entered = web.HTTPFound("/")
            entered.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            return entered
        if self._token and not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._token.encode()):
            raise web.HTTPForbidden(text="a token is needed: open /?token=…")
        answer = await handler(request)
        if not answer.prepared:
            answer.headers["Content-Security-Policy"] = POLICY
            answer.headers["Referrer-Policy"] = "no-referrer"
            answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"kvtui": __version__, "visitors": self._here, "most_visitors": self._most})

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, whose addresses are those that the visitor came by, and which loads nothing from elsewhere."""
        self.public_url = f"{request.scheme}://{request.host}"
        answer = await super().handle_index(request)
        assert isinstance(answer, web.Response)
        page = _LINK.sub(lambda link: link[0] if self.public_url in link[0] else "", answer.text or "")
        answer.text = page.replace("</head>", f"{_FOCUS}</head>", 1)
        return answer

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One visit, from the first byte to the end of its process and its folder."""
        if self._here >= self._most:
            raise web.HTTPServiceUnavailable(text=f"{self._most} visitors are here already")
        self._here += 1
        try:
            websocket = web.WebSocketResponse(heartbeat=15, max_msg_size=MOST_MESSAGE)
            await websocket.prepare(request)
            with tempfile.TemporaryDirectory(prefix="kvtui-visit-") as folder:
                visit = Visit(folder, websocket, self)
                try:
                    width, height = (
                        to_int(request.query.get(name, ""), cells) for name, cells in (("width", 80), ("height", 24))
                    )
                    await visit.start(*_size(width, height))
                    await self._process_messages(websocket, visit)
                finally:
                    await visit.end()
                    await websocket.close()
        finally:
            self._here -= 1
        return websocket

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Pass on what the visitor does, until they leave, do nothing for too long, or send something else."""
        loop = asyncio.get_running_loop()
        acted = loop.time()
        while (left := acted + self._idle - loop.time()) > 0:
            try:
                message = await asyncio.wait_for(websocket.receive(), left)
            except TimeoutError:
                return
            if message.type is not WSMsgType.TEXT:
                return
            try:
                kind, *values = json.loads(message.data)
                match kind, values:
                    case "stdin", [str(text)]:
                        acted = loop.time()
                        await app_service.send_bytes(text.encode())
                    case "resize", [{"width": int(width), "height": int(height)}]:
                        await app_service.set_terminal_size(*_size(width, height))
                    case "ping", [value]:
                        await websocket.send_json(["pong", value])
                    case "focus", _:
                        await app_service.focus()
                    case "blur", _:
                        await app_service.blur()
            except (ValueError, TypeError, RecursionError, OSError):
                return


def _size(width: int, height: int) -> tuple[int, int]:
    return min(max(1, width), MOST_COLUMNS), min(max(1, height), MOST_ROWS)
