"""What the Memory screen draws, worked out once per scenario and once per place of the film."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from kvtui.canvas.memory.cluster import ClusterScene, LinkWords, Tile, above_ram, grid_of, tile_codes, tiles_of
from kvtui.canvas.memory.layout import Board
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
from kvtui.engine.planning.cluster import MAX_SHOWN, Cluster, Traffic, cluster, linked, parts_at, place_of
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import score_matrix_bytes
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.reserved import all_hold
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.what_if import real_scenario
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
        real = real_scenario(self.scenario)
        self._real = None if real is None else allocator_of(plan(real))
        self.freed = 0
        self._key: tuple[int, int, int, bool] | None = None
        self.allocation: Allocation = allocate(self._allocator, 0)
        self.banks: BankMap = bank_map(self.allocation, 1)

    def move(self, tokens: int, board: Board, avoided: bool = False) -> None:
        """To ``tokens`` of the longest sequence, on ``board``; ``avoided`` draws what FlashAttention avoids."""
        beyond = 0 if board.beyond is None else board.beyond.width * board.beyond.height
        key = tokens, board.banks, beyond, avoided
        if self._key != key:
            self._key = key
            self.allocation = allocate(self._allocator, tokens)
            if self._real is not None:
                self.freed = allocate(self._real, tokens).parts.cache - self.allocation.parts.cache
            self.banks = bank_map(self.allocation, board.banks, beyond, avoided, self.freed)

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
            freed_bytes=self.freed,
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
        wafer = "one wafer" if device.family == "wafer" else ""
        alarmed = self.scenario.context >= APOCALYPSE_TOKENS and self.allocation.overflow > 0
        return Scene(
            codes=self.banks.inside,
            beyond=self.banks.beyond,
            beyond_words=self._beyond_words(),
            alarm=self._alarm(alarmed),
            alarmed=alarmed,
            die_name=device.name,
            memory_name=device.memory.kind,
            module_gib=device.memory.module_gib,
            fill=fill,
            progress=self.tokens / self.scenario.context,
            traffic=self._traffic(),
            now=look.now,
            flash_attention=self.scenario.flash_attention,
            saved_texts=(f"saved by FlashAttention {amount}", f"FA saves {amount}") if saved else (),
            captions=(
                " · ".join(text for text in (wafer, chip, tiles) if text),
                " · ".join(text for text in (wafer, chip) if text),
                wafer or chip,
            ),
            selected=selected,
            filling=self.banks.filling,
            moving=look.moving,
            plain=look.plain,
            ludicrous=look.ludicrous,
            ram_codes=None if ram is None else ram_codes(ram, self.banks.bytes_per_bank),
            ram_words=() if ram is None else ram_words(ram),
        )

    def _beyond_words(self) -> tuple[str, ...]:
        """How much is needed beyond the device, and how much of that is drawn where there is no room for all of it."""
        over, drawn = self.allocation.overflow, int(len(self.banks.beyond) * self.banks.bytes_per_bank)
        said = f"beyond the device: {format_bytes(over, 1)} more than it has"
        if drawn >= over:
            return said, f"{format_bytes(over, 1)} too much"
        here = f"{format_bytes(drawn, 1)} of it drawn"
        return f"{said}, {here}", said, f"{format_bytes(over, 1)} too much"

    def _alarm(self, alarmed: bool) -> tuple[str, ...]:
        """What is written over a scenario of a hundred million tokens."""
        if self.scenario.context < APOCALYPSE_TOKENS:
            return ()
        if not alarmed:
            return ("a hundred million tokens, and they fit",)
        cache = format_bytes(self.allocation.parts.kv + self.allocation.parts.state, 1)
        return f"MEMORY APOCALYPSE · {self.tokens:,} tokens need {cache} of cache", "MEMORY APOCALYPSE"

    @property
    def over_share(self) -> float:
        """What the fullest device needs at full context beyond what it has, in its own capacities."""
        return max(0.0, self.plan.per_device.total / self.plan.usable_per_device - 1)

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
        usable, layout, over = self.plan.usable_per_device, self.scenario.layout, self.over_share
        upper = above_ram(width, height, layout, over, self.ram_share)
        grid = grid_of(tiles_of(width, height, layout, upper).tiles[0], over)
        banks = grid.width * grid.height
        drawn = {}
        for group, parts in zip(found.groups, parts_at(found, self.tokens), strict=True):
            sequences = sum(slot.sequences for slot in group.share)
            drawn[group] = parts, tile_codes(parts, sequences, usable, banks)
        tiles = []
        for device in range(self.plan.devices):
            parts, (codes, beyond) = drawn[found.group_of(device)]
            amount = f"{parts.total / GIB:.1f} of {usable / GIB:.1f} GiB"
            tiles.append(Tile(str(device), amount, parts.total / usable, codes, beyond))
        scene = ClusterScene(
            tiles,
            layout,
            [self._group_titles(found, replica) for replica in range(layout.dp)],
            self._link_words(found, width),
            None if found.utilization is None else found.utilization.high,
            look.now,
            look.moving,
            look.plain,
            over,
            any(group.sent is not None and group.sent.exchanged for group in found.groups) and layout.dp > 1,
            selected,
        )
        ram = self.ram
        if ram is None or upper == height:
            return scene
        return scene._replace(
            upper=upper, ram_codes=ram_codes(ram, bank_bytes(usable, banks)), ram_words=ram_words(ram)
        )

    def cluster_words(self, found: Cluster, width: int, height: int) -> str:
        """What a bank of the picture of all devices stands for."""
        layout = self.scenario.layout
        upper = above_ram(width, height, layout, self.over_share, self.ram_share)
        grid = grid_of(tiles_of(width, height, layout, upper).tiles[0], self.over_share)
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

    def _group_titles(self, found: Cluster, replica: int) -> tuple[str, ...]:
        """The replica's number and how many sequences it serves; of a single one how it is split."""
        layout = self.scenario.layout
        ways = [
            text for text, size in ((f"{layout.pp} stages", layout.pp), (f"{layout.tp} ranks", layout.tp)) if size > 1
        ]
        if layout.dp == 1:
            return f"one replica: {' of '.join(ways)}", "one replica"
        share = found.group_of(replica * layout.tp * layout.pp).share
        sequences = sum(slot.sequences for slot in share)
        many = f"{sequences:,} sequence{'' if sequences == 1 else 's'}"
        return f"replica {replica} · {many}", f"replica {replica}", str(replica)

    def _link_words(self, found: Cluster, width: int) -> LinkWords:
        """The link and how busy it is, what goes from stage to stage, and all that is sent by its kind."""
        layout = self.scenario.layout
        sent = [group.sent for group in found.groups if group.sent is not None]
        if not sent or found.steps is None:
            return LinkWords(self._link_line(found, width))
        rates = {
            name: Band(max(sizes) / 1e9 * found.steps.low, max(sizes) / 1e9 * found.steps.high)
            for name, *sizes in zip(Traffic._fields, *sent, strict=True)
        }
        named = (
            ("reduced", "═ between ranks", layout.tp),
            ("passed", "from stage to stage", layout.pp),
            ("exchanged", "experts", 1 + bool(rates["exchanged"].high)),
        )
        kinds = [f"{text} {_rate(rates[name])}" for name, text, size in named if size > 1]
        if layout.dp > 1 and not rates["exchanged"].high:
            kinds.append("replicas: nothing")
        stages = _rate(rates["passed"]) if layout.pp > 1 else ""
        return LinkWords(self._link_line(found, width), stages, kinds)

    def _link_line(self, found: Cluster, width: int) -> str:
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
        if bank is not None and bank < len(self.banks.codes):
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
            Count(Code.SAVED, counts.saved, allocation.saved if counts.saved else 0),
            Count(Code.FREED, counts.freed, self.banks.freed_bytes if counts.freed else 0),
            Count(Code.FREE, counts.free, allocation.free),
            Count(Code.OVERFLOW, counts.overflow, allocation.overflow),
        )


def _rate(band: Band) -> str:
    """Bytes a second, from slow to fast, of ``band`` in GB/s."""
    unit, by = ("GB/s", 1) if band.high >= 1 else ("MB/s", 1000)
    low, high = figure(band.low * by), figure(band.high * by)
    return f"≈ {low} {unit}" if low == high else f"≈ {low}–{high} {unit}"
