"""How long a replayed step takes, at both ends of a band: by the roofline that times the plan, or as measured."""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError
from kvtui.engine.planning.roofline import Band, step_time
from kvtui.engine.planning.step import sequence_macs, sequence_read, weights_read
from kvtui.engine.replay.costs import StepCosts
from kvtui.engine.replay.scheduling import SchedulerStep
from kvtui.engine.scenario.scenario import Scenario

_GRAIN = 256


class Pace:
    """Seconds of steps of one replica of ``scenario``; the fast end of the band with ``fast``, else the slow one.

    A step reads the weights that its tokens meet and the caches of all its sequences, and does the operations of all
    its tokens; prompts and answers are computed together. Sequences that decode are taken at their mean context, which
    is exact where caches grow with every token. What that takes follows from the roofline, or from measured ``costs``.
    """

    def __init__(self, scenario: Scenario, *, fast: bool, costs: StepCosts | None = None) -> None:
        active = scenario.model.active_parameters
        if active is None or weights_read(scenario, 1) is None:
            raise InputError(f"--model: the weights of {scenario.model.name} are unknown, and so is the time of a step")
        if costs is None and step_time(scenario, 1, 1, 1)[0] is None:
            raise InputError(f"--gpu: {scenario.device.name} has no known link, and so the time of a step is unknown")
        self._scenario, self._fast, self._active, self._costs = scenario, fast, active, costs
        self._memory: dict[int, tuple[int, int]] = {}
        self._weights: dict[int, int] = {}

    def seconds(self, step: SchedulerStep) -> float:
        """How long ``step`` takes."""
        decoding, context, tokens, read, macs = step.others, step.context, step.others + step.padding, 0, 0
        for live, new in step.chunks.items():
            tokens += new
            if new == 1:
                decoding += 1
                context += live.computed
            else:
                moved, per_token = self._at(live.computed + new // 2)
                read += moved
                macs += new * per_token
        if decoding:
            moved, per_token = self._at(context // decoding)
            read += decoding * moved
            macs += decoding * per_token
        return self._time(tokens, read, macs)

    def _at(self, tokens: int) -> tuple[int, int]:
        """Bytes and multiply-adds of one token at ``tokens`` tokens, which are rounded to tell fewer apart."""
        rounded = -(-tokens // _GRAIN) * _GRAIN
        found = self._memory.get(rounded)
        if found is None:
            found = sequence_read(self._scenario, rounded), sequence_macs(self._scenario, rounded)
            self._memory[rounded] = found
        return found

    def _time(self, tokens: int, read: int, macs: int) -> float:
        weights = self._weights.get(tokens)
        if weights is None:
            weights = self._weights[tokens] = weights_read(self._scenario, tokens) or 0
        work = 2 * self._active * tokens + 2 * macs
        if self._costs is not None:
            return self._costs.seconds(tokens, weights + read, work, fast=self._fast)
        band, _ = step_time(self._scenario, weights + read, work, tokens)
        assert isinstance(band, Band)
        return (band.low if self._fast else band.high) / 1e3
