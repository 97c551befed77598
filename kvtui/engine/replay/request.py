"""A request of a trace."""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.replay.content import PromptContent


class Request(NamedTuple):
    """``prompt`` and ``answer`` are tokens; ``arrival`` counts in the trace's own unit (steps or seconds).

    A lower ``priority`` is served first, where the engine heeds it.
    """

    name: str
    arrival: float
    prompt: int
    answer: int
    content: PromptContent
    priority: int = 0
