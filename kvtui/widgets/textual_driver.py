"""Textual's driver of a POSIX terminal, made to bear what a terminal and a shell can do to it.

It uses private names of Textual, as ``kvtui.widgets.textual_private`` does, and is tested in the same way:
``tests/widgets/test_textual_driver.py``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Event

from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message
from textual.message_pump import MessagePump

from kvtui.canvas.pixels.terminal import ANSWER, BEGINNING

BURST = 256
DRAIN_SECONDS, LOOK_SECONDS = 10.0, 0.05
MOST_PASTED = 2**16
PASTE_STARTS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class TerminalAnswer(Message):
    """What the terminal said of itself, because it was asked: ``text`` as it came."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class WholePastes(XTermParser):
    """A parser to which a paste is text and nothing else, of which it keeps the first MOST_PASTED characters.

    Textual takes an escape character in a paste for the beginning of a key, and then reports the text after it as keys
    that were pressed: one of them may be the key that quits. So it does with a terminal's answers about graphics, which
    become TerminalAnswer here.
    """

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._rest = ""
        self._pasted = -1
        self._answers: list[str] = []

    def feed(self, data: str) -> Iterable[Message]:
        """The events of ``data``, which is the next of what the terminal sent, or nothing at its end."""
        text = self._cleaned(data)
        answers, self._answers = self._answers, []
        return self._events(answers, text, not data)

    def _events(self, answers: Iterable[str], text: str, ends: bool) -> Iterator[Message]:
        yield from map(TerminalAnswer, answers)
        if text or ends:
            yield from super().feed(text)

    def _typed(self, text: str, last: bool) -> str:
        """``text`` outside of pastes without the answers in it; what may begin one waits for the ``last`` of it."""
        self._answers += ANSWER.findall(text)
        text = ANSWER.sub("", text)
        begun = BEGINNING.search(text) if last else None
        if begun is None:
            return text
        self._rest = begun.group()
        return text[: begun.start()]

    def _cleaned(self, data: str) -> str:
        """``data`` without the controls of pastes; what may be the beginning of a mark that ends one waits."""
        data = self._rest + data
        self._rest = ""
        found = []
        while data:
            if self._pasted < 0:
                before, starts, data = data.partition(PASTE_STARTS)
                found.append(self._typed(before, last=not starts) + starts)
                if starts:
                    self._pasted = 0
                continue
            body, ends, data = data.partition(PASTE_ENDS)
            if not ends:
                waits = next((n for n in range(len(PASTE_ENDS) - 1, 0, -1) if body.endswith(PASTE_ENDS[:n])), 0)
                body, self._rest = body[: len(body) - waits], body[len(body) - waits :]
            kept = _CONTROLS.sub("", body)[: MOST_PASTED - self._pasted]
            self._pasted = -1 if ends else self._pasted + len(kept)
            found.append(kept + ends)
        return "".join(found)


class SteadyDriver(linux_driver.LinuxDriver):
    """A driver that takes no more from the terminal than the app can do, and that is stopped and continued safely.

    Textual puts every event into the loop at once: a paste without marks, or a mouse that moves while the app works,
    makes a backlog of hundreds of megabytes before which nothing else is heard. Here the thread that reads waits after
    every BURST events until the app, its screen and what has the focus have taken them.

    Textual stops and continues the app inside the signal's handler, where a lock of its own queue may be held; and on a
    SIGCONT that no SIGTSTP came before, it takes the raw terminal for the one to go back to.
    """

    _events = 0

    @property
    def cell_pixels(self) -> tuple[int, int] | None:
        """Width and height of a cell as the system knows them; None where it does not."""
        import fcntl
        import termios

        try:
            rows, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(self.fileno, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            return None
        return (width // columns, height // rows) if width >= columns > 0 and height >= rows > 0 else None

    def stop_application_mode(self) -> None:
        """Give the terminal back, without pictures."""
        leave = getattr(self._app, "take_pictures_away", None)
        if leave is not None:
            leave()
        super().stop_application_mode()

    def process_message(self, message: Message) -> None:
        """Pass an event on. Runs in the thread that reads."""
        super().process_message(message)
        self._events += 1
        if self._events % BURST == 0:
            self._drained()

    def _drained(self) -> None:
        """Wait until what was passed on was taken, but not for ever: the app may wait for the terminal itself."""
        taken = Event()
        self._loop.call_soon_threadsafe(self._when_taken, self._app, taken)
        waited = 0.0
        while not taken.wait(LOOK_SECONDS) and not self.exit_event.is_set() and waited < DRAIN_SECONDS:
            waited += LOOK_SECONDS

    def _when_taken(self, pump: MessagePump, taken: Event) -> None:
        """Set ``taken`` when ``pump`` has taken what it was sent, and after the app what takes keys and clicks too."""
        after: Callable[[], object] = taken.set
        if pump is self._app and self._app.screen_stack:
            after = partial(self._when_taken, self._app.focused or self._app.screen, taken)
        if not pump.call_later(after):
            taken.set()

    def _sigtstp_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(super()._sigtstp_application)

    def _sigcont_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._continued)

    def _continued(self) -> None:
        """Take the terminal anew: whoever stopped this process may have changed it."""
        if not self._app.is_running:
            return
        if not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()
        self._app.refresh(layout=True)


setattr(linux_driver, "XTermParser", WholePastes)  # noqa: B010 - the name that the driver looks up
