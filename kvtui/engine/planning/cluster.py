"""Many devices: what each of them holds, and how busy the links between them are.

Devices are numbered replica by replica, in a replica stage by stage, in a stage rank by rank. Link rates are one
direction of one device, as ``devices.toml`` has them; what is sent in a decode step follows Megatron-LM: two
all-reduces per layer among tensor-parallel ranks (a ring sends 2·(n − 1)/n of the activations), the activations to the
next pipeline stage, and between replicas nothing but what expert parallelism exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import ceil, isqrt
from typing import NamedTuple

from kvtui.engine.basis.catalogue import Catalogue
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.tables import Fields
from kvtui.engine.device.catalogue import CONFIDENCES, find_device
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.allocation import Slot, grown, replica_share
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import Parts
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.reserved import device_holds
from kvtui.engine.planning.roofline import Band, pcie_gbs
from kvtui.engine.planning.stages import Stage, stages
from kvtui.engine.planning.weights import expert_ranks
from kvtui.engine.scenario.scenario import Layout, Scenario, usual_weights

MAX_SHOWN = 128
BUSY = 0.8
ACTIVATION_BYTES = 2
ALL_REDUCES_PER_LAYER = 2
EXCHANGES_PER_LAYER = 2

_GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2), 16: (4, 4), 32: (8, 4), 64: (8, 8), 128: (16, 8)}


class DevicePlace(NamedTuple):
    """Where a device stands in a layout, each number from 0."""

    replica: int
    stage: int
    rank: int


class Link(NamedTuple):
    """What a device sends over: ``gbs`` GB/s in one direction. ``fast`` is a link between devices, else PCIe."""

    name: str
    gbs: float
    fast: bool


class Traffic(NamedTuple):
    """Bytes that leave a device in one decode step.

    ``reduced`` go to the other tensor-parallel ranks, ``exchanged`` to the ranks with other experts, and ``passed`` to
    the next pipeline stage.
    """

    reduced: int
    exchanged: int
    passed: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class DeviceGroup(NamedTuple):
    """Alike devices: all ranks of one ``stage`` in ``replicas`` replicas from ``first_replica`` on.

    ``share`` are the sequences of one replica at full context. ``sent`` leaves each device over its link in one decode
    step of all of these sequences; None when the model's hidden size is unknown.
    """

    stage: int
    first_replica: int
    replicas: int
    members: tuple[int, ...]
    share: tuple[Slot, ...]
    parts: Parts
    sent: Traffic | None


class Cluster(NamedTuple):
    """All devices of a scenario. ``columns`` × ``rows`` is their grid.

    ``gbs`` is what the busiest device sends per second and ``utilization`` its share of the link's rate, at the
    estimated rate of decode steps; None where that is not known. ``steps`` is that rate, per second. ``bottleneck`` is
    a sentence, or None.
    """

    scenario: Scenario
    serving: Serving | None
    groups: tuple[DeviceGroup, ...]
    columns: int
    rows: int
    link: Link | None
    gbs: Band | None
    utilization: Band | None
    bottleneck: str | None
    steps: Band | None

    def group_of(self, device: int) -> DeviceGroup:
        """The group of a device. Raises InputError for a number that no device has."""
        at = place_of(self.scenario.layout, device)
        return next(
            group
            for group in self.groups
            if group.stage == at.stage and 0 <= at.replica - group.first_replica < group.replicas
        )


class ClusterPreset(NamedTuple):
    """A well-known cluster: ``devices`` of one kind, and a model with its layout to begin with.

    ``confidence`` is H (read in a source), M (general knowledge) or L (approximate).
    """

    name: str
    device: str
    devices: int
    model: str
    layout: Layout
    confidence: str
    source: str
    aliases: tuple[str, ...] = ()
    note: str | None = None


def linked(plan: Plan, fast_link: bool = True) -> Plan:
    """``plan`` as it is over the fast link, or without ``fast_link`` over PCIe, for estimates; its memory is the same.

    Raises InputError when PCIe is asked for and the device's slot is not known.
    """
    link = link_of(plan.scenario.device, fast_link)
    if link is None or link.fast:
        return plan
    device = plan.scenario.device._replace(link=None, link_gbs=None)
    return plan._replace(scenario=plan.scenario._replace(device=device))


def cluster(plan: Plan, fast_link: bool = True) -> Cluster:
    """The devices of ``plan``, linked by their fast link if they have one, or else, or without ``fast_link``, by PCIe.

    Raises InputError when PCIe is asked for and the device's slot is not known.
    """
    scenario = plan.scenario
    link = link_of(scenario.device, fast_link)
    plan = linked(plan, fast_link)
    groups = tuple(_groups(plan))
    columns, rows = grid(scenario.layout.devices)
    steps = _steps(plan)
    gbs = _gbs(steps, groups)
    used = None if gbs is None or link is None else Band(min(1.0, gbs.low / link.gbs), min(1.0, gbs.high / link.gbs))
    return Cluster(scenario, plan.serving, groups, columns, rows, link, gbs, used, _bottleneck(link, used), steps)


def parts_at(cluster: Cluster, position: int) -> tuple[Parts, ...]:
    """What one device of each group holds when the longest possible sequence has ``position`` tokens.

    Raises InputError beyond the context.
    """
    scenario = cluster.scenario
    if not 0 <= position <= scenario.context:
        raise InputError(f"tokens: {position:,} is out of range (0 to {scenario.context:,})")
    pipeline = stages(scenario)
    shares = {group.share: grown(group.share, scenario, position) for group in cluster.groups}
    found: dict[tuple[Stage, tuple[Slot, ...]], Parts] = {}
    for group in cluster.groups:
        key = pipeline[group.stage], group.share
        if key not in found:
            found[key] = device_holds(scenario, cluster.serving, key[0], shares[group.share], position)
    return tuple(found[pipeline[group.stage], group.share] for group in cluster.groups)


def sent_in_step(scenario: Scenario, stage: Stage, last: bool, sequences: int) -> Traffic | None:
    """What a device of ``stage`` sends in a decode step of ``sequences``; None if the hidden size is unknown.

    With expert parallelism a token goes to each of its experts that is elsewhere, and their results come back, instead
    of the second all-reduce. Example: DeepSeek-V3 on 8 replicas sends 2 × 8 copies × 7/8 of 14,336 bytes per token in
    each of 58 layers.
    """
    if scenario.model.hidden is None:
        return None
    tp = scenario.layout.tp
    activations = sequences * scenario.model.hidden * ACTIVATION_BYTES
    routed = [scenario.model.layers[at].experts for at in stage.layers] if scenario.expert_parallel else []
    sparse = [experts for experts in routed if experts is not None]
    reduced = (ALL_REDUCES_PER_LAYER * stage.held - len(sparse)) * 2 * (tp - 1) * activations // tp
    ranks = expert_ranks(scenario).number
    copies = sum(min(experts.active, ranks) for experts in sparse)
    exchanged = EXCHANGES_PER_LAYER * copies * (ranks - 1) * activations // (ranks * tp)
    return Traffic(reduced, exchanged, 0 if last else activations)


def link_of(device: DeviceSpec, fast: bool = True) -> Link | None:
    """The link that ``device`` sends over; None when no rate is known.

    Raises InputError when it must not be ``fast`` and the device's PCIe slot is not known.
    """
    if fast and device.link_gbs is not None:
        return Link(device.link or "link", device.link_gbs, fast=True)
    rate = pcie_gbs(device.pcie)
    if rate is not None:
        return Link(f"PCIe {device.pcie}", rate, fast=False)
    if not fast:
        raise InputError(f"link: the PCIe slot of the {device.name} is not known")
    return None


def place_of(layout: Layout, device: int) -> DevicePlace:
    """Where device number ``device`` stands. Raises InputError for a number that no device has."""
    if not 0 <= device < layout.devices:
        raise InputError(f"device: {device:,} is out of range (0 to {layout.devices - 1:,})")
    replica, inside = divmod(device, layout.tp * layout.pp)
    return DevicePlace(replica, *divmod(inside, layout.tp))


def grid(devices: int) -> tuple[int, int]:
    """Columns and rows in which to draw ``devices``: the usual shapes of powers of two, else nearly a square."""
    if devices in _GRIDS:
        return _GRIDS[devices]
    columns = isqrt(devices - 1) + 1
    return columns, ceil(devices / columns)


def all_clusters() -> tuple[ClusterPreset, ...]:
    """All cluster presets, packaged ones first. Raises InputError if the user's file is wrong."""
    return _CLUSTERS.all()


def wrong_clusters() -> tuple[str, ...]:
    """What is wrong with entries of the user's file, which are left out."""
    return _CLUSTERS.wrong()


def preset_fields(preset: ClusterPreset, batch: int) -> dict[str, object]:
    """What choosing ``preset`` puts into a scenario of ``batch`` sequences, by field: at least one for each replica."""
    model = find_model(preset.model)
    return {
        "model": model,
        "model_ref": preset.model,
        "weight_dtype": usual_weights(model),
        "device": find_device(preset.device),
        "layout": preset.layout,
        "batch": max(batch, preset.layout.dp),
    }


def _groups(plan: Plan) -> Iterator[DeviceGroup]:
    scenario, layout = plan.scenario, plan.scenario.layout
    for first, replicas, share in _replica_shares(plan.sequences, layout.dp):
        for number, stage in enumerate(stages(scenario)):
            members = tuple(
                (replica * layout.pp + number) * layout.tp + rank
                for replica in range(first, first + replicas)
                for rank in range(layout.tp)
            )
            parts = device_holds(scenario, plan.serving, stage, share)
            sent = sent_in_step(scenario, stage, number == layout.pp - 1, sum(slot.sequences for slot in share))
            yield DeviceGroup(number, first, replicas, members, share, parts, sent)


def _replica_shares(sequences: tuple[Slot, ...], replicas: int) -> Iterator[tuple[int, int, tuple[Slot, ...]]]:
    """First replica, number and share of the replicas that are dealt the same sequences.

    Dealt in turn, a kind of sequence that does not come out even ends at one replica: shares change only there.
    """
    cuts = sorted({0, *(dealt % replicas for dealt in accumulate(slot.sequences for slot in sequences))})
    for first, end in zip(cuts, [*cuts[1:], replicas], strict=True):
        yield first, end - first, replica_share(sequences, replicas, first)


def _steps(plan: Plan) -> Band | None:
    """Decode steps per second, slow and fast."""
    rate, batch = estimate(plan).tokens_per_second, plan.scenario.batch
    return None if rate is None else Band(rate.low / batch, rate.high / batch)


def _gbs(steps: Band | None, groups: tuple[DeviceGroup, ...]) -> Band | None:
    """GB/s that the busiest device sends."""
    sent = [group.sent.total for group in groups if group.sent is not None]
    if steps is None or not sent:
        return None
    per_step = max(sent) / 1e9
    return Band(per_step * steps.low, per_step * steps.high)


def _bottleneck(link: Link | None, used: Band | None) -> str | None:
    if link is None or used is None or used.high <= BUSY:
        return None
    verb = "is" if used.low > BUSY else "may be"
    return f"{link.name} {verb} the bottleneck: {used.low:.0%} to {used.high:.0%} busy at the estimated step rate"


def _build(fields: Fields) -> ClusterPreset:
    layout = fields.table("layout")
    split = Layout(*(layout.integer(key, most=MAX_SHOWN) for key in ("tp", "pp", "dp")))
    devices = fields.integer("devices", most=MAX_SHOWN)
    if split.devices != devices:
        raise fields.error("layout", f"tp × pp × dp is {split.devices:,}, not {devices:,}")
    model = _model(fields)
    if split.pp > len(model.layers):
        raise fields.error("layout", f"{model.name} has {len(model.layers)} layers, less than pp {split.pp}")
    try:
        model.check_tp(split.tp)
    except InputError as error:
        raise fields.error("layout", str(error)) from None
    return ClusterPreset(
        name=fields.text("name", limit=80),
        device=_device(fields).name,
        devices=devices,
        model=model.name,
        layout=split,
        confidence=fields.choice("confidence", CONFIDENCES),
        source=fields.text("source"),
        aliases=fields.texts("aliases", limit=80),
        note=fields.maybe(fields.text, "note"),
    )


def _model(fields: Fields) -> ModelSpec:
    try:
        return find_model(fields.text("model", limit=80))
    except UnknownName as error:
        raise fields.error("model", str(error)) from None


def _device(fields: Fields) -> DeviceSpec:
    try:
        return find_device(fields.text("device", limit=80))
    except UnknownName as error:
        raise fields.error("device", str(error)) from None


_CLUSTERS = Catalogue("cluster", "clusters.toml", _build)
