"""What the Memory screen shows at one moment: plain data, made anew for every frame without planning anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvtui.engine.planning.allocation import Slot
from kvtui.engine.planning.estimate import Estimate
from kvtui.engine.planning.parts import Parts
from kvtui.engine.planning.plan import Plan
from kvtui.engine.saying.notices import Notice
from kvtui.engine.saying.terms import shared_tokens
from kvtui.engine.scenario.scenario import Scenario


class Count(NamedTuple):
    """The cells of one category of the picture, by its code (see ``kvtui.engine.picture.bank_map``), and its bytes.

    All sequences together have the code FIRST_SEQUENCE; ``owners`` is their number.
    """

    code: int
    cells: int
    bytes: int
    owners: int = 0


@dataclass(frozen=True, slots=True)
class MemoryView:
    """A scenario, its plan, and where the film stands.

    ``tokens`` is the film's position: what the longest possible sequence holds. ``sequences`` are what all sequences
    use and have reserved there, ``parts`` the bytes of the fullest device and ``total_parts`` of all devices.
    ``saved_bytes`` are the attention scores of all sequences that FlashAttention does not write out (0 without it).
    ``freed_bytes`` of cache are what the model as it is would have more of on this device, beside a what-if.
    """

    scenario: Scenario
    plan: Plan
    estimate: Estimate
    notices: Sequence[Notice]
    tokens: int
    sequences: tuple[Slot, ...]
    parts: Parts
    total_parts: Parts
    saved_bytes: int
    freed_bytes: int
    counts: Sequence[Count] = ()
    playing: bool = False
    speed: float = 1.0

    @property
    def capacity(self) -> int:
        """Usable bytes of all devices of the scenario."""
        return self.plan.usable_per_device * self.plan.devices

    @property
    def utilization(self) -> float:
        """The bytes of all devices at this position over their usable bytes; above 1 where they do not fit."""
        return self.total_parts.total / self.capacity

    @property
    def uniform(self) -> bool:
        """Whether all sequences hold equally many tokens, all the time."""
        return len(self.plan.sequences) <= 1

    @property
    def used_tokens(self) -> int:
        """Tokens stored for all sequences; a shared prefix counts once per replica."""
        return sum(slot.sequences * slot.used for slot in self.sequences) - shared_tokens(self.scenario, self.sequences)

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the common prefix that sequences have room for without storing them."""
        return shared_tokens(self.scenario, tuple(Slot(s.reserved, s.reserved, s.sequences) for s in self.sequences))

    @property
    def reserved_tokens(self) -> int:
        """Tokens that room is set aside for; a shared prefix counts once per replica."""
        return sum(slot.sequences * slot.reserved for slot in self.sequences) - self.prefix_tokens

    @property
    def used_share(self) -> float:
        """Stored tokens over those that room is set aside for; 1 where there are none."""
        return self.used_tokens / self.reserved_tokens if self.reserved_tokens else 1.0
