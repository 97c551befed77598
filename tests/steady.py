"""Waiting until an app has done all that was asked of it, however busy the machine is.

Textual's own ``Pilot.pause`` takes a process that used no processor for 20 ms to be done. Beside other work it is often
just not having its turn; and when it is done, 20 ms are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from textual.app import App
from textual.message_pump import MessagePump
from textual.pilot import Pilot

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.002
AHEAD = {"plan"}
"""Groups of workers that go on with what nobody looks at yet; tests that need it wait for it themselves."""

textual_pause = Pilot.pause


async def pause(pilot: Pilot[Any], delay: float | None = None) -> None:
    """What stands in for ``Pilot.pause``: wait until the app has nothing left to do.

    With a ``delay`` it is as in Textual; 0 waits for the messages posted before, and not for what a thread works out.
    What a timer will do later is not waited for, except a new size, which Textual holds back for 8 ms. Raises
    AssertionError when the app does not come to rest.
    """
    if delay is not None:
        await textual_pause(pilot, delay)
        return
    app, begun = pilot.app, monotonic()
    while app.is_running and app.screen_stack:
        if all(map(_waits, (app, *app._registry))):
            if not _is_drawn(app):
                app.screen._on_timer_update()
            elif app._resize_event is None and not any(_works(app)):
                return
            else:
                app.check_idle()  # a size that is the one before is passed on when the app is next idle
                await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(0)
        assert monotonic() - begun < PATIENCE_SECONDS, list(_unfinished(app))


def _waits(pump: MessagePump) -> bool:
    """Whether ``pump`` waits for a message, with none in its queue and none in hand; or has ended."""
    if pump._task is None or pump._task.done():
        return True
    ready: asyncio.Event = pump._message_queue.ready_event
    return bool(ready._waiters) and not ready.is_set() and not pump._next_callbacks


def _works(app: App[Any]) -> Iterator[object]:
    return (worker for worker in app.workers if not worker.is_finished and worker.group not in AHEAD)


def _is_drawn(app: App[Any]) -> bool:
    screen = app.screen
    return bool(app._batch_count) or not any(
        (
            screen._layout_required,
            screen._scroll_required,
            screen._repaint_required,
            screen._recompose_required,
            screen._dirty_widgets,
            screen._callbacks,
        )
    )


def _unfinished(app: App[Any]) -> Iterator[object]:
    """What ``app`` still has to do, for the message of a failure."""
    yield from (pump for pump in (app, *app._registry) if not _waits(pump))
    yield from _works(app)
    if not _is_drawn(app):
        yield f"{app.screen} is not drawn"
    if app._resize_event is not None:
        yield app._resize_event


async def until(pilot: Pilot[Any], holds: Callable[[], object]) -> None:
    """Wait for what a thread or a timer will bring. Raises AssertionError when it never comes."""
    begun = monotonic()
    while not holds():
        assert monotonic() - begun < PATIENCE_SECONDS, "it never happened"
        await textual_pause(pilot, LOOK_SECONDS)
