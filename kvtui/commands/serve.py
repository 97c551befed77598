"""``kvtui serve``: the app in a browser, on loopback unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.commands.narration import say
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT, VISITORS, MINUTES = 8000, 4, 30
MOST_VISITORS, MOST_MINUTES, MOST_PORT = 1000, 24 * 60, 65535
LEAST_TOKEN = 16


def add(parser: argparse.ArgumentParser) -> None:
    """Where to serve, to whom, and to how many."""
    parser.description = (
        "Serve the app to browsers. Each visitor has a process and a folder of their own: files of this machine are not"
        " read or written, no connections are opened, nothing is measured, and what is exported is downloaded. /health"
        " says how many are there."
    )
    parser.add_argument(
        "--host", default=LOOPBACK[0], help="the address to listen at; another than loopback's needs a token"
    )
    parser.add_argument("--port", metavar="N", help=f"the port, {PORT} if none is given")
    parser.add_argument("--token-file", metavar="FILE", help="a file with the token that visitors bring as ?token=…")
    parser.add_argument("--visitors", metavar="N", help=f"how many at a time, {VISITORS} if not given")
    parser.add_argument(
        "--idle", metavar="MINUTES", help=f"a visitor who does nothing for so long leaves, {MINUTES} if not given"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it.

    Raises InputError for wrong options, for an address that others can reach without a token, and where the extra is
    not installed.
    """
    port = PORT if args.port is None else parse_count(args.port, "--port", MOST_PORT)
    visitors = VISITORS if args.visitors is None else parse_count(args.visitors, "--visitors", MOST_VISITORS)
    minutes = MINUTES if args.idle is None else parse_count(args.idle, "--idle", MOST_MINUTES)
    token = _token(args.token_file)
    if args.host not in LOOPBACK and not token:
        raise InputError(
            f"--host: others can reach '{plain(args.host)}'; --token-file is needed, whose token they bring"
        )
    try:
        from kvtui.commands.browser import Browsers
    except ImportError:
        raise InputError("serve: needs the package textual-serve: pip install 'kvtui[web]'") from None
    said = "without a token" if not token else "with ?token=… and what is in the token's file"
    say(f"http://{args.host}:{port}/ {said}; {visitors} visitors at most, {minutes} minutes idle; ctrl+c ends it")
    return Browsers(args.host, port, token, visitors, 60.0 * minutes).serve_all()


def _token(path: str | None) -> str:
    from kvtui.engine.basis.files import read_text

    if path is None:
        return ""
    try:
        token = read_text(path, 4096).strip()
    except FileNotFoundError as error:
        raise InputError(f"--token-file: {plain(path)}: {error.strerror}") from None
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum():
        raise InputError(f"--token-file: a token is {LEAST_TOKEN} or more letters and digits")
    return token
