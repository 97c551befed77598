"""What to announce, and when: plans that outgrow a device, a node or a room, and the marks at 80 and 100 %.

A state machine without a clock of its own: every question comes with the time, in seconds of any steady clock.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kvtui.engine.basis.units import TIB, format_bytes, format_tokens
from kvtui.engine.planning.capacity import Capacity
from kvtui.engine.planning.plan import SEARCH_DEVICES, Plan
from kvtui.engine.saying.notices import NEAR_CAPACITY, Notice
from kvtui.engine.scenario.scenario import NODE_DEVICES, Scenario

COOL_DOWN_SECONDS = 10.0
OPEN_SECONDS = 6.0


class Level(IntEnum):
    """How far a plan that does not fit outgrows one device."""

    NONE = 0
    MULTI_DEVICE = 1
    MULTI_NODE = 2
    DATACENTRE = 3


def level(plan: Plan) -> Level:
    """The level of ``plan``: by the devices that it needs, and by its bytes on all devices (over 1 TiB).

    A plan that fits the devices it has is at level NONE, however many they are.
    """
    if plan.fits:
        return Level.NONE
    needed = plan.devices_needed
    if needed is None:
        needed = plan.devices if _needs_a_larger_pool(plan) else SEARCH_DEVICES
    if plan.total.total > TIB and needed > 1:
        return Level.DATACENTRE
    if needed > NODE_DEVICES:
        return Level.MULTI_NODE
    return Level.MULTI_DEVICE if needed > 1 else Level.NONE


def announcement(plan: Plan) -> Notice | None:
    """What is announced of ``plan``; None at level NONE."""
    needed, total = plan.devices_needed, f"{format_bytes(plan.total.total)} at {format_tokens(plan.scenario.context)}"
    if needed is None:
        devices = "a larger KV pool" if _needs_a_larger_pool(plan) else f"more than {SEARCH_DEVICES:,} devices"
    else:
        devices = f"{needed:,} devices"
    found = level(plan)
    if found != Level.NONE and needed is not None and needed <= plan.devices:
        which = "they would" if needed == plan.devices else f"{needed:,} of them would"
        text = f"{total} do not fit {_present(plan)} as they are split: {which} hold it, split another way"
        return Notice("multi_device", "warning", text)
    match found:
        case Level.NONE:
            return None
        case Level.MULTI_DEVICE:
            text = f"{total} do not fit {_present(plan)}: this needs {devices} of this kind"
            return Notice("multi_device", "warning", text)
        case Level.MULTI_NODE:
            text = f"{total} need {devices}: more than the {NODE_DEVICES} of one node, so a network lies between them"
            return Notice("multi_node", "critical", text)
        case Level.DATACENTRE:
            text = f"{total}, over 1 TiB: this needs {devices}, with power, cooling and a network to match"
            return Notice("datacentre", "critical", text)


def _needs_a_larger_pool(plan: Plan) -> bool:
    return plan.scenario.kv_pool is not None and not plan.crowded


def remedy(scenario: Scenario, found: Capacity) -> str:
    """How much of ``scenario`` its devices do hold, given its capacity."""
    context = f"a context of {format_tokens(found.context)}" if found.context else ""
    sequences = f"a batch of {found.sequences:,}" if found.sequences else ""
    if not context and not sequences:
        alone = found.context_limit == "weights"
        return f"As it is, {'the weights alone are too much' if alone else 'there is no room for one sequence'}."
    if context and scenario.batch > 1:
        context += f" at batch {scenario.batch:,}"
    if sequences:
        sequences += f" at {format_tokens(scenario.context)}"
    return f"As it is, there is room for {' or '.join(text for text in (context, sequences) if text)}."


def _present(plan: Plan) -> str:
    return "one device" if plan.devices == 1 else f"{plan.devices:,} devices"


class Alerts(NamedTuple):
    """What has been announced so far.

    ``level`` is the level last announced (or fallen back to), ``last_shown_at`` when a rise was last announced,
    ``is_open`` False once that was ended by hand, ``passed`` the marks (``near_capacity``, ``over_capacity``) that have
    fired since the scenario last changed.
    """

    level: Level = Level.NONE
    last_shown_at: float | None = None
    is_open: bool = False
    passed: frozenset[str] = frozenset()

    def observed(self, reached: Level, now: float) -> Alerts:
        """The state after ``reached`` was seen at ``now``.

        A rise of the level is announced, at most once in COOL_DOWN_SECONDS: a rise within them is announced when
        they are over, if it still holds. A fall is taken over silently, so that the next rise counts.
        """
        if reached < self.level:
            return self._replace(level=reached)
        cool = self.last_shown_at is None or now - self.last_shown_at >= COOL_DOWN_SECONDS
        if reached == self.level or not cool:
            return self
        return self._replace(level=reached, last_shown_at=now, is_open=True)

    def wait(self, reached: Level, now: float) -> float | None:
        """Seconds until a rise to ``reached`` that came within the cool-down can be announced; None if none waits."""
        if reached <= self.level or self.last_shown_at is None:
            return None
        return max(0.0, COOL_DOWN_SECONDS - (now - self.last_shown_at))

    def is_announced(self, now: float) -> bool:
        """Whether the announcement is to be seen at ``now``: it ends by itself after OPEN_SECONDS."""
        return self.is_open and self.last_shown_at is not None and now - self.last_shown_at < OPEN_SECONDS

    def closed(self) -> Alerts:
        """The state after the announcement was ended by hand; the cool-down goes on."""
        return self._replace(is_open=False)

    def marked(self, used: float) -> tuple[Alerts, tuple[Notice, ...]]:
        """The state after the fullest device was seen ``used`` (1.0 is all of its budget) full, and the marks passed.

        Each mark fires once until ``renewed``. Who jumps over both gets the higher one alone.
        """
        reached = _marks(used)
        new = reached - self.passed
        if not new:
            return self, ()
        text = f"the fullest device is {used:.0%} full" if used <= 1 else "the fullest device is over capacity"
        over = "over_capacity" in new
        notice = Notice("over_capacity" if over else "near_capacity", "critical" if over else "warning", text)
        return self._replace(passed=self.passed | reached), (notice,)

    def renewed(self) -> Alerts:
        """The state for a changed scenario: the marks may fire again, the announcement keeps its cool-down."""
        return self._replace(passed=frozenset())


def _marks(used: float) -> frozenset[str]:
    """The marks at or above which ``used`` is; all of the budget may be used, so only more than that is over it."""
    near = ("near_capacity",) if used >= NEAR_CAPACITY else ()
    return frozenset((*near, "over_capacity") if used > 1 else near)
