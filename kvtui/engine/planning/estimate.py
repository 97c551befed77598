"""What a plan's steps take and cost: the roofline's bands for its decode, its prefill and its speculation."""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.planning.allocation import Slot, busiest_share, slots
from kvtui.engine.planning.drafting import TokenPass, acceptance_of, expected_tokens
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.roofline import POWER_SHARE, Band, prefill_time, ram_gbs, step_time
from kvtui.engine.planning.step import Step, decode_step, draft_step, plain_step
from kvtui.engine.scenario.scenario import Scenario


class Estimate(NamedTuple):
    """Bands in milliseconds, tokens per second over all devices, US dollars and joules; None where unknown.

    ``measured_gbs`` is the measured bandwidth (10**9 bytes per second and device) that stands in for the priors.
    ``ram_bytes`` of ``step_bytes`` are read from the machine's RAM, at ``ram_gbs``. With ``speculation`` a step gives
    several tokens, and ``decode_ms`` is a step's time for each of them.
    """

    prefill_ms: Band | None
    decode_ms: Band | None
    tokens_per_second: Band | None
    bound: str | None
    usd_per_hour: Band | None
    usd_per_million_tokens: Band | None
    joules_per_token: Band | None
    priced_on: str | None
    step_bytes: int | None
    step_flops: int | None
    measured_gbs: float | None = None
    ram_bytes: int = 0
    ram_gbs: Band | None = None
    speculation: SpeculativeStep | None = None


class SpeculativeStep(NamedTuple):
    """A step of speculative decoding: of ``drafted`` tokens and the model's own come ``tokens`` for each sequence.

    ``draft_ms`` is the time of all drafts together, ``verify_ms`` that of the model's pass over them, ``plain_ms`` that
    of a step without speculation. ``assumed`` says that nobody told the ``acceptance``.
    """

    drafted: int
    acceptance: float
    assumed: bool
    tokens: float
    draft_ms: Band
    verify_ms: Band
    plain_ms: Band

    @property
    def step_ms(self) -> Band:
        """The whole step."""
        return Band(*(draft + verify for draft, verify in zip(self.draft_ms, self.verify_ms, strict=True)))

    @property
    def speedup(self) -> Band:
        """How many times as fast as without it, at either end of the bands."""
        return Band(
            *sorted(self.tokens * plain / step for plain, step in zip(self.plain_ms, self.step_ms, strict=True))
        )

    @property
    def draft_share(self) -> Band:
        """The part of a step that goes into drafting, at either end."""
        return Band(*sorted(draft / step for draft, step in zip(self.draft_ms, self.step_ms, strict=True)))


def estimate(plan: Plan) -> Estimate:
    """How long the plan's decode step and prefill take, and what a token costs; no times where it does not fit."""
    return timed(plan.scenario, decode_step(plan.scenario, plan.sequences) if plan.fits else None)


def most_users(scenario: Scenario, sequences: int | None) -> tuple[int, Estimate] | None:
    """As many ``sequences`` as there is room for, and what their decode step takes; None without room or bound.

    They are as full as the scenario's fill says.
    """
    if not sequences:
        return None
    crowd = scenario._replace(batch=max(sequences, scenario.layout.dp), lengths=None)
    return crowd.batch, timed(crowd, decode_step(crowd, slots(crowd, crowd.context, crowd.batch)))


def timed(scenario: Scenario, step: Step | None) -> Estimate:
    """What ``step`` takes on the scenario's devices; without one, only what does not depend on it."""
    layout, price = scenario.layout, _price(scenario)
    read, work = (None, None) if step is None else (step.bytes, step.flops)
    decode = per_second = bound = speculation = None
    if step is not None and read is not None and work is not None:
        decode, bound = step_time(scenario, read, work, step.each * step.sequences, step.ram)
        if scenario.speculative_tokens:
            told = acceptance_of(scenario), scenario.acceptance is None
            speculation = None if decode is None else _speculation(scenario, step, decode, *told)
            decode = speculation and Band(*(ms / speculation.tokens for ms in speculation.step_ms))
        if decode is not None:
            in_flight = min(layout.pp, step.sequences)
            per_second = Band(scenario.batch / decode.high * 1e3, scenario.batch * in_flight / decode.low * 1e3)
    return Estimate(
        prefill_ms=None if step is None else prefill_time(scenario, step.ram),
        decode_ms=decode,
        tokens_per_second=per_second,
        bound=bound,
        usd_per_hour=price,
        usd_per_million_tokens=_per(price, per_second, 1e6 / 3600),
        joules_per_token=_per(_power(scenario), per_second, 1),
        priced_on=(scenario.device.price.priced_on or None) if scenario.device.price else None,
        step_bytes=read,
        step_flops=work,
        measured_gbs=scenario.bandwidth_gbs,
        ram_bytes=0 if step is None or step.ram is None else step.ram.bytes,
        ram_gbs=None if step is None or step.ram is None else ram_gbs(scenario),
        speculation=speculation,
    )


def speculate(
    scenario: Scenario, sequences: tuple[Slot, ...], found: TokenPass, drafted: int, acceptance: float
) -> SpeculativeStep | None:
    """A step of ``sequences`` in which ``found`` drafts; None where its time is not known.

    Here the scenario need not have a drafter of its own.
    """
    share = busiest_share(sequences, scenario.layout.dp)
    step = plain_step(scenario, share, 1 + drafted)
    step = step._replace(plain=plain_step(scenario, share), draft=draft_step(scenario, found, share))
    if step.bytes is None or step.flops is None:
        return None
    verify, _ = step_time(scenario, step.bytes, step.flops, step.each * step.sequences, step.ram)
    return None if verify is None else _speculation(scenario, step, verify, acceptance, False)


def _speculation(
    scenario: Scenario, step: Step, verify: Band, acceptance: float, assumed: bool
) -> SpeculativeStep | None:
    """A step whose pass over the drafted tokens takes ``verify``; None where the drafter is not known enough."""
    plain, draft, drafted = step.plain, step.draft, step.each - 1
    if plain is None or draft is None or plain.bytes is None or plain.flops is None:
        return None
    without, _ = step_time(scenario, plain.bytes, plain.flops, plain.sequences, plain.ram)
    once, _ = step_time(scenario, draft.bytes, draft.flops, step.sequences, layers=draft.layers)
    if without is None or once is None:
        return None
    return SpeculativeStep(
        drafted=drafted,
        acceptance=acceptance,
        assumed=assumed,
        tokens=expected_tokens(acceptance, drafted),
        draft_ms=Band(*(drafted * ms for ms in once)),
        verify_ms=verify,
        plain_ms=without,
    )


def _price(scenario: Scenario) -> Band | None:
    """USD per hour of all devices together."""
    price = scenario.device.price
    if price is None:
        return None
    return Band(price.low * scenario.layout.devices, price.high * scenario.layout.devices)


def _power(scenario: Scenario) -> Band | None:
    """Watts of all devices together."""
    watts = scenario.device.tdp_watts
    if watts is None:
        return None
    return Band(*(watts * scenario.layout.devices * share for share in POWER_SHARE))


def _per(total: Band | None, rate: Band | None, scale: float) -> Band | None:
    if total is None or rate is None:
        return None
    return Band(total.low / rate.high * scale, total.high / rate.low * scale)
