"""What the Memory screen draws, worked out once per scenario and once per place of the film."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from kvtui.canvas.memory.cluster import ClusterScene, Tile, above_ram, inner, tile_codes, tile_rects
from kvtui.canvas.memory.panels.numbers import figure
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.memory.view import Count, MemoryView
from kvtui.engine.basis.units import GIB, format_bytes
from kvtui.engine.engines.placement import MemoryUse
from kvtui.engine.picture.allocator import Allocation, allocate, allocator_of
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, BankMap, Code, bank_map, describe
from kvtui.engine.picture.banks import bank_bytes
from kvtui.engine.picture.ram import ram_codes, ram_words
from kvtui.engine.planning.allocation import grown
from kvtui.engine.planning.cluster import MAX_SHOWN, Cluster, cluster, linked, parts_at, place_of
from kvtui.engine.planning.parts import score_matrix_bytes
from kvtui.engine.planning.reserved import all_hold
from kvtui.engine.planning.roofline import estimate
from kvtui.engine.saying.papers import Paper, papers_for
from kvtui.state.session import Session

APOCALYPSE_TOKENS = 100 * 2**20


class Viewing(NamedTuple):
    """How a scene is shown: at ``now`` seconds of watching, moving or not, without colours, at ludicrous speed."""

    now: float
    moving: bool
    plain: bool
    ludicrous: bool = False


class Picture:
    """One scenario's memory at the place of the film it was last moved to.

    Its devices are joined by their fast link, or without ``fast_link`` by PCIe. Raises InputError when PCIe is asked
    for and the device's slot is not known.
    """

    def __init__(self, session: Session, fast_link: bool = True) -> None:
        self.scenario, self.plan, self.notices = session.scenario, session.plan, session.notices
        self.fast_link = fast_link
        self.estimate = session.estimate if fast_link else estimate(linked(self.plan, fast_link))
        self._allocator = allocator_of(self.plan)
        self._key: tuple[int, int] | None = None
        self.allocation: Allocation = allocate(self._allocator, 0)
        self.banks: BankMap = bank_map(self.allocation, 1)

    def move(self, tokens: int, banks: int) -> None:
        """To ``tokens`` of the longest sequence, in a picture of ``banks`` banks."""
        if self._key != (tokens, banks):
            self._key = (tokens, banks)
            self.allocation = allocate(self._allocator, tokens)
            self.banks = bank_map(self.allocation, banks)

    @property
    def tokens(self) -> int:
        """The place of the film."""
        return self.allocation.position

    def view(self, playing: bool, speed: float) -> MemoryView:
        """The same moment in numbers, for the panels."""
        sequences = grown(self.plan.sequences, self.scenario, self.tokens)
        parts = self.allocation.parts
        alone = self.plan.devices == 1
        return MemoryView(
            scenario=self.scenario,
            plan=self.plan,
            estimate=self.estimate,
            notices=self.notices,
            tokens=self.tokens,
            sequences=sequences,
            parts=parts,
            total_parts=parts if alone else all_hold(self.scenario, self.plan.serving, sequences, self.tokens),
            saved_bytes=self._saved,
            counts=self._counts(),
            playing=playing,
            speed=speed,
        )

    @property
    def _saved(self) -> int:
        """Attention scores of all sequences here that FlashAttention does not write out."""
        if not self.scenario.flash_attention or not self.tokens:
            return 0
        return score_matrix_bytes(self.scenario, self.tokens, self.scenario.batch)

    def scene(self, look: Viewing, selected: int | None) -> Scene:
        """The same moment for the board."""
        device, parts = self.scenario.device, self.allocation.parts
        fill = parts.total / self.plan.usable_per_device
        saved = self.allocation.saved
        chip = "" if device.cache_mb is None else f"{device.cache_mb:,.10g} MB on chip"
        tiles = f"{device.tile}×{device.tile} tiles" if self.scenario.flash_attention else ""
        amount = format_bytes(saved, 1)
        ram = self.ram
        return Scene(
            codes=self.banks.codes,
            die_name=device.name,
            memory_name=device.memory.kind,
            module_gib=device.memory.module_gib,
            fill=fill,
            progress=self.tokens / self.scenario.context,
            traffic=self._traffic(),
            now=look.now,
            flash_attention=self.scenario.flash_attention,
            saved_texts=(f"saved by FlashAttention {amount}", f"FA saves {amount}") if saved else (),
            captions=(" · ".join(text for text in (chip, tiles) if text), chip),
            selected=selected,
            filling=self.banks.filling,
            moving=look.moving,
            plain=look.plain,
            ludicrous=look.ludicrous,
            apocalypse=self.scenario.context >= APOCALYPSE_TOKENS,
            ram_codes=None if ram is None else ram_codes(ram, self.banks.bytes_per_bank),
            ram_words=() if ram is None else ram_words(ram),
        )

    @property
    def ram_share(self) -> float:
        """What is drawn of the machine's RAM, in capacities of the device; 0 where it holds nothing to speak of."""
        return 0.0 if self.ram is None else self.ram.total / self.plan.usable_per_device

    @property
    def ram(self) -> MemoryUse | None:
        """The machine's RAM, where more of the model lies there than any start leaves to it."""
        return None if self.plan.serving is None else self.plan.serving.ram

    @cached_property
    def papers(self) -> tuple[Paper, ...]:
        """The papers behind what is active."""
        return papers_for(self.scenario)

    @cached_property
    def cluster(self) -> Cluster | None:
        """All devices of the scenario; None for a single one, or more than a picture can show."""
        return cluster(self.plan, self.fast_link) if 1 < self.plan.devices <= MAX_SHOWN else None

    def cluster_scene(
        self, look: Viewing, found: Cluster, width: int, height: int, selected: int | None = None
    ) -> ClusterScene:
        """All devices at the same moment, for a board of ``width`` × ``height`` cells."""
        usable = self.plan.usable_per_device
        upper = above_ram(width, height, self.plan.devices, found.columns, self.ram_share)
        rects = tile_rects(width, upper, self.plan.devices, found.columns)
        grid = inner(rects[0])
        banks = grid.width * grid.height
        drawn = {}
        for group, parts in zip(found.groups, parts_at(found, self.tokens), strict=True):
            sequences = sum(slot.sequences for slot in group.share)
            drawn[group] = parts, tile_codes(parts, sequences, usable, banks)
        tiles = []
        for device in range(self.plan.devices):
            parts, codes = drawn[found.group_of(device)]
            amount = f"{parts.total / GIB:.1f} of {usable / GIB:.1f} GiB"
            tiles.append(Tile(str(device), amount, parts.total / usable, codes))
        high = None if found.utilization is None else found.utilization.high
        words = self._link_words(found, width)
        scene = ClusterScene(tiles, found.columns, words, high, look.now, look.moving, look.plain, selected)
        ram = self.ram
        if ram is None or upper == height:
            return scene
        return scene._replace(
            upper=upper, ram_codes=ram_codes(ram, bank_bytes(usable, banks)), ram_words=ram_words(ram)
        )

    def cluster_words(self, found: Cluster, width: int, height: int) -> str:
        """What a bank of the picture of all devices stands for."""
        upper = above_ram(width, height, self.plan.devices, found.columns, self.ram_share)
        grid = inner(tile_rects(width, upper, self.plan.devices, found.columns)[0])
        banks = grid.width * grid.height
        size = format_bytes(self.plan.usable_per_device // banks, 1)
        return f"one bank = {size} · {banks:,} banks on each of {self.plan.devices:,} devices"

    def device_words(self, found: Cluster, device: int) -> str:
        """Where a device of ``found`` stands, and what it holds."""
        group, place, layout = found.group_of(device), place_of(self.scenario.layout, device), self.scenario.layout
        parts = parts_at(found, self.tokens)[found.groups.index(group)]
        ways = (
            ("replica", place.replica, layout.dp),
            ("stage", place.stage, layout.pp),
            ("rank", place.rank, layout.tp),
        )
        stands = ", ".join(f"{name} {number} of {most}" for name, number, most in ways if most > 1)
        held = (("weights", parts.weights), ("KV", parts.kv), ("state", parts.state))
        amounts = " · ".join(f"{name} {format_bytes(size)}" for name, size in held if size)
        usable = self.plan.usable_per_device
        return f"device {device}, {stands}: {amounts} · {format_bytes(parts.total)} of {format_bytes(usable)}"

    def _link_words(self, found: Cluster, width: int) -> str:
        """The link and how busy it is, in as many words as fit ``width`` cells."""
        if found.link is None:
            return "no link rate is known for this device"
        name = f"{found.link.name}, {found.link.gbs:,.0f} GB/s one way"
        if found.gbs is None or found.utilization is None:
            return name
        used = found.utilization
        busy = f"{used.low:.1%}–{used.high:.1%} busy"
        sent = f"≈ {figure(found.gbs.low)}–{figure(found.gbs.high)} GB/s sent"
        texts = [f"{name} · {sent}, {busy}", f"{name} · {busy}", name]
        if found.bottleneck:
            texts = [f"{texts[0]} · {found.bottleneck}", f"{name} · {found.bottleneck}", found.bottleneck, *texts[1:]]
        return next((text for text in texts if len(text) <= width), name)

    def words(self, bank: int | None) -> str:
        """What ``bank`` holds, or without one what a bank stands for."""
        if bank is not None and bank < self.banks.banks:
            return describe(self.banks, self.allocation, bank)
        modules = self.scenario.device.memory.modules
        if self.ram is not None:
            return f"one bank = {format_bytes(int(self.banks.bytes_per_bank), 1)} · {ram_words(self.ram)[0]}"
        text = f"one bank = {format_bytes(int(self.banks.bytes_per_bank), 1)} · {self.banks.banks:,} banks"
        if modules > 1:
            text += f", interleaved over {modules} modules"
        return text if self.plan.devices == 1 else f"{text} · the fullest of {self.plan.devices:,} devices"

    def _traffic(self) -> float:
        """How much of the scenario's largest step a decode step reads here: weights always, the cache as it grows."""
        parts = self.allocation.parts
        most = self.plan.per_device.weights + self.plan.per_device.kv + self.plan.per_device.state
        return (parts.weights + parts.kv + parts.state) / max(1, most)

    def _counts(self) -> tuple[Count, ...]:
        counts, parts, allocation = self.banks.counts, self.allocation.parts, self.allocation
        padding = sum(one.padding for one in allocation.sequences) + allocation.prefix_padding
        return (
            Count(Code.WEIGHTS, counts.weights, parts.weights),
            Count(
                FIRST_SEQUENCE, sum(counts.sequences), parts.kv - allocation.prefix, owners=len(allocation.sequences)
            ),
            Count(Code.PREFIX, counts.prefix, allocation.prefix),
            Count(Code.STATE, counts.state, parts.state),
            Count(Code.RESERVED, counts.reserved + counts.pool, parts.reserved_unused - padding + parts.pool_free),
            Count(Code.PADDING, counts.padding, padding),
            Count(Code.WORKING, counts.working, parts.activation + parts.overhead),
            Count(Code.SAVED, counts.saved, allocation.saved),
            Count(Code.FREE, counts.free, allocation.free),
            Count(Code.OVERFLOW, counts.overflow, allocation.overflow),
        )
