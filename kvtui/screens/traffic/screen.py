"""Mode 5, Traffic: running servers, their pools, and what happens in them; live, or from a recording."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.timer import Timer
from textual.worker import get_current_worker

from kvtui.attach.source import TrafficSource
from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.advisor import ServerFinding, findings
from kvtui.engine.live.beside import PlanBeside, plan_beside
from kvtui.engine.live.history import Beat, History
from kvtui.engine.live.interval import changes
from kvtui.engine.live.snapshot import Snapshot
from kvtui.engine.scenario.values import Values
from kvtui.screens import bindings
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.screens.traffic import words
from kvtui.screens.traffic.picture import pool_picture, strips
from kvtui.screens.traffic.state import SPEEDS, TrafficState
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.blocks import BlocksView, StripsView
from kvtui.widgets.key_name import first_key
from kvtui.widgets.panels import PanelColumn, TextLine

if TYPE_CHECKING:
    from kvtui.engine.replay.filmed import ReplayFilm

TICKS_PER_SECOND = 5
ADVICE_SECONDS = 10.0


class TrafficScreen(ScenarioActions):
    """A server's pool, strips of the last minutes, and the plan beside; of several servers first a row each.

    ``source`` gives the snapshots, None where nothing is watched yet; ``given`` are the options of the plan beside.
    ``opens`` makes a source of what a person types. ``clock`` gives seconds and is stubbed by tests.
    """

    MODE = "traffic"
    CSS_PATH = Path(__file__).with_name("traffic.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.TRAFFIC

    def __init__(
        self,
        session: Session,
        source: TrafficSource | None,
        given: Values,
        opens: Callable[[str], TrafficSource],
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(session)
        self.add_class("-list")
        self.source, self.given, self.opens, self.clock = source, given, opens, clock
        self.history = History()
        self.state = TrafficState(speed=min(SPEEDS, key=lambda one: abs(one - speed)))
        self._plans: dict[str, tuple[object, PlanBeside | None, str]] = {}
        self._advice: dict[str, tuple[ServerFinding, ...]] = {}
        self._advised = self._ticked = 0.0
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        """Two lines about the server, its pool and the panels beside it once a server is shown, and the strips."""
        yield TextLine(id="server")
        yield TextLine(id="verdict")
        with Horizontal(id="body"):
            yield BlocksView(id="pool")
            beside = PanelColumn(id="beside")
            beside.display = False
            yield beside
        yield StripsView(id="strips")

    def on_mount(self) -> None:
        """Look for snapshots while the screen is shown."""
        self._ticked = self.clock()
        self._timer = self.set_interval(1 / TICKS_PER_SECOND, self.tick)

    def on_unmount(self) -> None:
        """Let go of the servers."""
        if self.source is not None:
            self.source.close()

    def on_screen_suspend(self) -> None:
        """Nothing is drawn behind another screen; servers are watched on."""
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        """Go on."""
        if self._timer is not None:
            self._ticked = self.clock()
            self._timer.resume()
            self.call_after_refresh(self.tick)

    def scenario_changed(self, change: ScenarioChange) -> None:
        """What is watched does not follow the scenario."""

    def watch_source(self, source: TrafficSource) -> None:
        """Watch something else."""
        if self.source is not None:
            self.source.close()
        self.source, self.history, self.state = source, History(), TrafficState(span=self.state.span)
        self._plans, self._advice, self._advised = {}, {}, 0.0
        self.tick()

    def tick(self) -> None:
        """Take what came, let a recording go on, and draw if there is anything new."""
        now, before = self.clock(), self._ticked
        self._ticked = now
        if self.source is None:
            self.redraw()
            return
        try:
            came = self.source.taken()
        except (InputError, OSError) as error:
            self.host.tell_error(error)
            self.source = None
            self.redraw()
            return
        self._announce(came)
        self.history.add(came)
        ends, moved = self.history.span(), False
        if came and ends is not None and not self.source.live:
            self.state = self.state.spanning(ends)
        if ends is not None and not self.source.live and self.state.playing:
            self.state, moved = self.state.advanced(now - before, ends), True
        if came or moved:
            self.redraw()

    def _announce(self, came: list[Snapshot]) -> None:
        """Say what changed of a server that is watched."""
        if self.source is None or not self.source.live:
            return
        for snapshot in came:
            beats = self.history.until(snapshot.address, None)
            for change in changes(beats[-1].snapshot, snapshot) if beats else ():
                self.host.tell(f"{snapshot.address}: {change}")

    @property
    def address(self) -> str | None:
        """The server that is shown whole."""
        return self.state.address(self.history.addresses)

    @property
    def command(self) -> str:
        """The command line that watches the same; it never has a token."""
        from kvtui.engine.basis.untrusted import shell_word

        names = () if self.source is None else self.source.name.split(", ")
        return " ".join(("kvtui watch", *map(shell_word, names)))

    def redraw(self) -> None:
        """Draw everything as it is at the moment that is looked at."""
        if not self.is_mounted or not self.is_attached:
            return
        address = self.address
        self.set_class(address is None, "-list")
        if address is None:
            self._draw_list()
            return
        beats = self.history.until(address, self.state.at)
        if beats:
            self._draw_server(address, beats[-1])

    def _draw_list(self) -> None:
        """All servers, a row each; or what can be done where there is none."""
        addresses = self.history.addresses
        pool, server, verdict = (
            self.query_one("#pool", BlocksView),
            self.query_one("#server", TextLine),
            self.query_one("#verdict", TextLine),
        )
        self.query_one("#beside", PanelColumn).display = False
        if not addresses:
            waiting = "" if self.source is None else f"waiting for {self.source.name}"
            server.show((Span(f" {waiting or 'traffic'}", Ink.BRIGHT),))
            verdict.show(())
            rows: list[InkRow] = [] if self.source is not None else [(Span(line, Ink.DIM),) for line in words.EMPTY]
            pool.show("", None, rows)
            return
        width = max(1, pool.size.width - 4)
        latest = [(name, self.history.until(name, self.state.at)) for name in addresses]
        lines = [
            words.server_row(beats[-1], number == self.state.row, width)
            for number, (_, beats) in enumerate(latest)
            if beats
        ]
        first = max(0, self.state.row - max(0, pool.size.height - 3))
        server.show((Span(f" {len(addresses):,} servers", Ink.BRIGHT), Span(f"  {self._moment()}", Ink.DIM)))
        verdict.show((Span(" enter opens one", Ink.DIM),))
        pool.show("servers", None, lines[first:])

    def _draw_server(self, address: str, beat: Beat) -> None:
        snapshot = beat.snapshot
        line = self.query_one("#server", TextLine)
        recorded = self.source is not None and not self.source.live
        line.show(words.title_row(snapshot, self._moment(), max(1, line.size.width), recorded))
        self.query_one("#verdict", TextLine).show(words.verdict_row(beat))
        beside = self.query_one("#beside", PanelColumn)
        beside.display = True
        picture = pool_picture(snapshot)
        rows = (
            [] if picture is not None else [(Span(text, Ink.DIM),) for text in (snapshot.said, *snapshot.notes) if text]
        )
        self.query_one("#pool", BlocksView).show("pool", picture, rows)
        self._want_plan(address, snapshot)
        _, plan, error = self._plans.get(address, (None, None, ""))
        advice = self._advice.get(address, ())
        when = "now" if self.state.at is None else f"at {_clock(snapshot.time)}"
        beside.show(words.sections(beat, when, plan, error, advice, beside.inner_width))
        self._draw_strips(address, snapshot.time)

    def _draw_strips(self, address: str, shown: float) -> None:
        ends = self.history.span()
        assert ends is not None
        at = ends[1] if self.state.at is None else self.state.at
        # The moment that is looked at lies at the end of the strips, or within them while there is more to see.
        end = min(ends[1], max(at, min(ends[1], at + self.state.span / 2))) if self.state.at is not None else ends[1]
        beats = self.history.until(address, end)
        cursor = None if self.state.at is None else 1 - (end - at) / self.state.span
        title = f"the last {self._span()}" if self.state.at is None else f"{self._span()} up to {_clock(end)}"
        if self.state.at is not None and _clock(at) != _clock(end):
            title += f", figures at {_clock(at)}"
        self.query_one("#strips", StripsView).show(title, strips(beats, end, self.state.span, at), cursor)

    def _span(self) -> str:
        minutes = self.state.span / 60
        return f"{minutes:g} min" if minutes >= 1 else f"{self.state.span:g} s"

    def _moment(self) -> str:
        """The moment that is looked at, and how it goes on."""
        ends = self.history.span()
        if ends is None:
            return ""
        live = self.source is not None and self.source.live
        at = ends[1] if self.state.at is None else self.state.at
        if live:
            return f"{_clock(at)} {'live' if self.state.at is None else 'paused'} "
        how = f"playing ×{self.state.speed:g}" if self.state.playing else "stopped"
        return f"{_clock(at)} {how} "

    def _want_plan(self, address: str, snapshot: Snapshot) -> None:
        """Work out, in a thread, the plan of a server that is new or has changed, and from time to time the advice."""
        if snapshot.state not in ("up", "asleep"):
            return
        pool = snapshot.pool
        key = (snapshot.engine, snapshot.model, snapshot.release, pool.size, pool.tokens, snapshot.context)
        known = self._plans.get(address)
        changed = known is None or known[0] != key
        if not changed and self.clock() - self._advised < ADVICE_SECONDS:
            return
        self._advised = self.clock()
        if changed:
            self._plans[address] = (key, None, "")
        seen = [beat.snapshot for beat in self.history.until(address, self.state.at)]
        self.run_worker(
            partial(self._work_out, address, key, seen, None if changed else known),
            thread=True,
            exclusive=True,
            group="plan",
        )

    def _work_out(
        self, address: str, key: object, seen: list[Snapshot], known: tuple[object, PlanBeside | None, str] | None
    ) -> None:
        worker = get_current_worker()
        if known is None:
            try:
                known = (key, plan_beside(seen[-1], self.given), "")
            except InputError as error:
                known = (key, None, str(error))
        advice = findings(seen, known[1])
        if not worker.is_cancelled:
            self.app.call_from_thread(self._worked_out, address, known, advice)

    def _worked_out(
        self, address: str, known: tuple[object, PlanBeside | None, str], advice: tuple[ServerFinding, ...]
    ) -> None:
        self._plans[address], self._advice[address] = known, advice
        self.redraw()

    def _change(self, state: TrafficState) -> None:
        self.state = state
        self.redraw()

    def action_hold(self) -> None:
        """Stop at this moment, or go on."""
        ends = self.history.span()
        if ends is not None and self.source is not None:
            self._change(self.state.paused(ends, live=self.source.live))

    def action_scrub(self, steps: int) -> None:
        """Another moment."""
        ends = self.history.span()
        if ends is not None and self.source is not None:
            self._change(self.state.scrubbed(steps, ends, live=self.source.live))

    def action_zoom_time(self, by: int) -> None:
        """A longer or a shorter time."""
        self._change(self.state.zoomed(by))

    def action_speed(self, by: int) -> None:
        """A recording faster or slower."""
        self._change(self.state.faster(by))

    def action_row(self, rows: int) -> None:
        """Another server of the list."""
        if self.address is None:
            self._change(self.state.moved(rows, len(self.history.addresses)))

    def action_open_server(self) -> None:
        """The server of the row, whole."""
        addresses = self.history.addresses
        if self.address is None and addresses:
            self._change(replace(self.state, opened=addresses[min(self.state.row, len(addresses) - 1)]))

    def action_all_servers(self) -> None:
        """Back to the list."""
        self._change(replace(self.state, opened=None))

    def action_take_plan(self) -> None:
        """Plan with this server's numbers, from here on and on every screen."""
        plan = self._plans.get(self.address or "", (None, None, ""))[1]
        if plan is None:
            self.host.tell("there is no plan of this server to take")
            return
        self._attempt(lambda session: session.take(plan.scenario))
        back = f"{first_key(self.host, 'undo')} takes it back"
        self.host.tell(f"the scenario is this server's now: {plan.scenario.model.name}; {back}")

    def action_watch(self, what: str) -> None:
        """Watch ``what``: an address, a recording, the demo, or whatever listens on this machine."""
        self.run_worker(partial(self._open, what), thread=True, exclusive=True, group="open")

    def _open(self, what: str) -> None:
        """Look for it in a thread: ports may take their time to answer."""
        worker = get_current_worker()
        try:
            source = self.opens(what)
        except (InputError, OSError) as error:
            self.app.call_from_thread(self.host.tell_error, error)
            return
        if worker.is_cancelled:
            source.close()
        else:
            self.app.call_from_thread(self.watch_source, source)

    def action_watch_typed(self) -> None:
        """Watch what a person types."""
        from kvtui.screens.windows.prompt import PromptScreen

        def take(text: str) -> None:
            self.watch_source(self.opens(text))

        self.host.open(
            PromptScreen(
                "watch",
                "http://localhost:8000",
                "an address, or the file of a recording",
                preview=lambda text: text.strip(),
                take=take,
                step=lambda text, by: text,
            )
        )

    def action_replay_typed(self) -> None:
        """Replay the trace whose name a person types, on the server of the scenario."""
        from kvtui.screens.windows.prompt import PromptScreen

        self.host.open(
            PromptScreen(
                "replay",
                "synthetic:requests=200,rate=4,shared=4x512,turns=3",
                "the file of a trace, or synthetic:… for one that is made up",
                preview=lambda text: text.strip(),
                take=self._replay_named,
                step=lambda text, by: text,
            )
        )

    def _replay_named(self, name: str) -> None:
        self.run_worker(partial(self._replay, name.strip()), thread=True, exclusive=True, group="open")

    def _replay(self, name: str) -> None:
        """Read the trace in a thread: it may be long."""
        from kvtui.engine.replay.filmed import film_named

        worker = get_current_worker()
        try:
            film = film_named(name, self.session.scenario)
        except (InputError, OSError) as error:
            self.app.call_from_thread(self.host.tell_error, error)
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show_film, film)

    def _show_film(self, film: ReplayFilm) -> None:
        from kvtui.screens.traffic.film import FilmScreen

        if self.app.screen is self:
            self.app.push_screen(FilmScreen(self.session, film))


def _clock(time: float) -> str:
    return datetime.fromtimestamp(max(0.0, min(time, 4e9)), UTC).strftime("%H:%M:%S")
