"""The report for a terminal: the verdict first, then the picture, the table, the facts, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.cells import cell_len

from kvtui.engine.picture.banks import bank_counts, span_bytes
from kvtui.output.harmless import clean
from kvtui.output.lines import StyledLine, StyledText, beside, rule, stack, to_ascii, width_of, wrap, write
from kvtui.output.shell import shell_lines
from kvtui.report import facts, fixes, sections
from kvtui.report.amounts import bank_label, gib, percent, with_unit
from kvtui.report.derivations import derivations, source_numbers
from kvtui.report.facts import Fact, FactPanel
from kvtui.report.sections import MemoryRow, Remark, Sum

NARROWEST, PAIRED_FACTS, TWO_COLUMNS, THREE_COLUMNS, WIDEST = 60, 76, 120, 168, 200
FACTS, TABLE = 44, 62
GAP = 3
PICTURE_ROWS = 3

GLYPHS = {
    "weights": "█",
    "kv": "▓",
    "state": "░",
    "activation": "▞",
    "overhead": "▌",
    "reserved_unused": "▒",
    "pool_free": "╌",
    "free": "·",
    "ok": "✓",
    "bad": "✗",
    "critical": "✗",
    "warning": "!",
    "info": "i",
    "bar": "█▉▊▋▌▍▎▏",
}
ASCII_GLYPHS = {
    "weights": "#",
    "kv": "%",
    "state": "~",
    "activation": "+",
    "overhead": "o",
    "reserved_unused": "=",
    "pool_free": "-",
    "free": ".",
    "ok": "+",
    "bad": "X",
    "critical": "X",
    "warning": "!",
    "info": "i",
    "bar": "#",
}
NONE, SHARE = "–", "% usable"
REMARK_STYLES = {"critical": "bad", "warning": "warning", "info": "info"}


def render(
    document: Mapping[str, Any], width: int = 80, color: bool = False, ascii_only: bool = False, explain: bool = True
) -> str:
    """``document`` for people, at most ``width`` cells wide (no less than 60, no more than 200 are used).

    ``explain`` adds the derivations of the memory parts; all others are in the JSON, Markdown and HTML reports.
    ``color`` adds escape codes for what the terminal of this process can show; ``ascii_only`` leaves only ASCII.
    """
    known = clean(document)
    page = _Page(_ascii(known) if ascii_only else known, max(NARROWEST, min(width, WIDEST)), ascii_only)
    lines = [tuple((page.say(text), style) for text, style in line) for line in page.lines(explain)]
    return write(lines, color)


def _ascii(value: Any) -> Any:
    match value:
        case str():
            return to_ascii(value)
        case Mapping():
            return {_ascii(key): _ascii(item) for key, item in value.items()}
        case list():
            return [_ascii(item) for item in value]
        case _:
            return value


@dataclass(frozen=True)
class _Page:
    document: Mapping[str, Any]
    width: int
    ascii_only: bool

    @property
    def glyphs(self) -> Mapping[str, str]:
        return ASCII_GLYPHS if self.ascii_only else GLYPHS

    def say(self, text: str) -> str:
        return to_ascii(text) if self.ascii_only else text

    def lines(self, explain: bool) -> list[StyledLine]:
        panels = facts.panels(self.document)
        heads = [self.header(), self.picture(), self.fixes()]
        tails = [self.remarks(self.width), self.starts(), self.command()]
        derived = self.derivations if explain else _nothing
        if self.width >= THREE_COLUMNS:
            third = self.width - TABLE - FACTS - 2 * GAP
            left = stack([self.memory(TABLE), self.panels(panels[:1], TABLE)])
            columns = [(left, TABLE), (self.panels(panels[1:], FACTS), FACTS), (derived(third), third)]
            return stack([*heads, beside(columns, GAP), *tails])
        if self.width >= TWO_COLUMNS:
            first = self.width - FACTS - GAP
            left = stack([self.memory(first), derived(first)])
            return stack([*heads, beside([(left, first), (self.panels(panels, FACTS), FACTS)], GAP), *tails])
        return stack([*heads, self.memory(self.width), self.facts(panels), derived(self.width), *tails])

    def panels(self, panels: Sequence[FactPanel], cells: int) -> list[StyledLine]:
        return stack(self.panel(panel, cells) for panel in panels)

    def facts(self, panels: Sequence[FactPanel]) -> list[StyledLine]:
        """All panels, in two columns of about the same height where there is room for two."""
        if self.width < PAIRED_FACTS:
            return self.panels(panels, self.width)
        first = (self.width - GAP) // 2
        second = self.width - GAP - first
        blocks = [self.panel(panel, first) for panel in panels]
        heights = [len(block) + 1 for block in blocks]
        cut = min(range(1, len(blocks)), key=lambda i: max(sum(heights[:i]), sum(heights[i:])), default=1)
        right = self.panels(panels[cut:], second)
        return beside([(stack(blocks[:cut]), first), (right, second)], GAP)

    def header(self) -> list[StyledLine]:
        fits, sentence = sections.verdict(self.document)
        mark = "ok" if fits else "bad"
        lines: list[StyledLine] = [((line, "strong"),) for line in _join(sections.title(self.document), self.width)]
        for i, line in enumerate(wrap(sentence, self.width - 2)):
            lines.append(((f"{self.glyphs[mark]} " if not i else "  ", mark), (line, mark)))
        return lines

    def picture(self) -> list[StyledLine]:
        """A bar of cells, each the same number of bytes; what exceeds the room is red and has its own ruler."""
        drawn = sections.picture(self.document)
        banks = self.width * PICTURE_ROWS
        span = span_bytes(drawn.parts, drawn.capacity)
        counts = bank_counts(drawn.parts, drawn.capacity, banks)
        cells = [key for key, count in counts.items() for _ in range(count)]
        held = self.width * drawn.capacity // span if drawn.excess else self.width
        lines = []
        for row in range(PICTURE_ROWS):
            styled = [(key, key if column < held else "over") for column, key in enumerate(cells[row::PICTURE_ROWS])]
            lines.append(tuple((self.glyphs[key] * len(list(run)), style) for (key, style), run in groupby(styled)))
        return [*lines, *self.ruler(drawn, held), *self.caption(drawn, span, banks)]

    def fixes(self) -> list[StyledLine]:
        """What would make it fit, where it does not: a table, and the sources of its marks."""
        found = self.document["fixes"]
        if not found:
            return []
        return [rule(fixes.TITLE, self.width, "the least change first"), *fixes.lines(found, self.width)]

    def ruler(self, drawn: sections.BankPicture, held: int) -> list[StyledLine]:
        if not drawn.excess:
            return []
        room, missing = f"{with_unit(drawn.capacity)} {drawn.room}", f"{with_unit(drawn.excess)} too much"
        measures = _measure(room, held), _measure(missing, self.width - held)
        lines: list[StyledLine] = [((measures[0], "dim"), (measures[1], "over"))]
        if room not in measures[0] or missing not in measures[1]:
            lines.append(((f"{room}, then ", "dim"), (missing, "over")))
        return lines

    def caption(self, drawn: sections.BankPicture, span: int, banks: int) -> list[StyledLine]:
        kind, count = self.document["device"]["memory_type"], self.document["memory"]["devices"]
        words = (
            bank_label(span, banks),
            f"{banks:,} banks = {with_unit(span)}{'' if drawn.excess or drawn.whole else f' {drawn.room}'}",
            f"{kind}, fullest of {count:,} devices" if count > 1 else kind,
        )
        return [((line, "dim"),) for line in _join(words, self.width)]

    def memory(self, cells: int) -> list[StyledLine]:
        """Parts, sums, and for the parts a bar on the scale of the memory or what exceeds it."""
        memory = self.document["memory"]
        count, usable = memory["devices"], memory["usable_bytes_per_device"]
        found: tuple[MemoryRow | Sum, ...] = (*sections.parts(self.document), *sections.sums(self.document))
        rows = [(line, _figures(line, count > 1, usable)) for line in found]
        widths = {head: max(cell_len(head), *(cell_len(shown[head]) for _, shown in rows)) for head in rows[0][1]}
        label = max(cell_len(line.label) for line in found) + 2
        table = label + sum(widths.values()) + 2 * len(widths)
        bar = max(0, cells - table - 2)
        scale = max(usable, memory["fullest_device"]["total_bytes"])
        sizes = {line.key: line.fullest for line in found if line.key in self.glyphs}
        lines = [self.table_head(cells, label, widths)]
        for line, shown in rows:
            if line.key == "total":
                lines.append((("─" * table, "dim"),))
            drawn = self.bar(line.key, sizes.get(line.key, 0), scale, bar)
            lines.append(self.row(line.key, line.label, label, shown, widths, drawn))
        return [*lines, (("≈ estimated; the rest is exact arithmetic", "dim"),)]

    def table_head(self, cells: int, label: int, widths: Mapping[str, int]) -> StyledLine:
        columns = "".join(f"  {head:>{size}}" for head, size in widths.items())
        dashes = label - len("memory ") + len(columns) - len(columns.lstrip())
        rest = cells - label - len(columns) - 1
        line: list[StyledText] = [("memory ", "heading"), ("─" * (dashes - 1) + " ", "dim"), (columns.lstrip(), "dim")]
        return (*line, (" " + "─" * max(0, rest), "dim"))

    def row(
        self, key: str, name: str, label: int, shown: Mapping[str, str], widths: Mapping[str, int], bar: StyledText
    ) -> StyledLine:
        glyph = self.glyphs.get(key, " ")
        style = {"total": "strong", "over": "bad"}.get(key, "dim" if shown[SHARE] == NONE else "")
        figures = "".join(f"  {shown[head]:>{size}}" for head, size in widths.items())
        return (
            (f"{glyph} ", key if glyph != " " else ""),
            (f"{name:<{label - 2}}", style),
            (figures, style),
            ("  ", ""),
            bar,
        )

    def bar(self, key: str, size: int, scale: int, cells: int) -> StyledText:
        blocks = self.glyphs["bar"]
        if not size:
            return "", ""
        if key == "free":
            return self.glyphs["free"] * round(size / scale * cells), "free"
        steps = round(size / scale * cells * len(blocks))
        whole, part = divmod(steps, len(blocks))
        return blocks[0] * whole + (blocks[len(blocks) - part] if part else ""), key

    def panel(self, panel: FactPanel, cells: int) -> list[StyledLine]:
        lines: list[StyledLine] = [rule(panel.title, cells)]
        for fact in panel.facts:
            lines.extend(_fact(fact, cells))
        lines.extend(((line, "dim"),) for line in wrap(panel.note, cells) if line)
        return lines

    def derivations(self, cells: int) -> list[StyledLine]:
        """The memory parts' formulas with their values, and numbered sources below."""
        found = tuple(d for d in derivations(self.document) if d.result and d.id in self.shown())
        if not found:
            return []
        numbers = source_numbers(found)
        lines: list[StyledLine] = [rule("where the numbers come from", cells)]
        for derivation in found:
            refs = "".join(f"[{numbers[source]}]" for source in derivation.sources)
            head = ((derivation.id, "strong"), (f" {refs}", "dim"))
            lines.extend(_ends(head, (f"{derivation.result:,} B", ""), cells))
            lines.extend(((f"  {line}", ""),) for line in wrap(derivation.filled, cells - 2, 2))
            rest = " · ".join(f"{name} {value}" for name, value in derivation.rest)
            lines.extend(((f"  {line}", "dim"),) for line in wrap(rest, cells - 2, 2) if rest)
        for source, i in numbers.items():
            lines.extend(((line, "dim"),) for line in wrap(f"[{i}] {source}", cells, 4))
        return lines

    def shown(self) -> set[str]:
        skipped = {"total", "flash_attention_saved"}
        return {entry["id"] for entry in self.document["explain"]} - skipped

    def remarks(self, cells: int) -> list[StyledLine]:
        found = sections.remarks(self.document)
        return [line for remark in found for line in self.remark(remark, cells)]

    def remark(self, remark: Remark, cells: int) -> Iterator[StyledLine]:
        style = REMARK_STYLES[remark.severity]
        for i, line in enumerate(wrap(remark.text, cells - 2)):
            yield (f"{self.glyphs[remark.severity]} " if not i else "  ", style), (line, "")

    def starts(self) -> list[StyledLine]:
        """How the best split is started; the first is a command line, the others are settings."""
        found = sections.starts(self.document)
        lines: list[StyledLine] = [rule("start the best split", self.width)] if found else []
        for number, (program, words) in enumerate(found):
            said = wrap(f"{program}: {words}", self.width) if number else shell_lines(words, self.width)
            lines += [((line, "dim"),) for line in said]
        return lines

    def command(self) -> list[StyledLine]:
        command = self.document["scenario"]["command_line"]
        return [rule("reproduce", self.width), *(((line, "dim"),) for line in shell_lines(command, self.width))]


def _nothing(cells: int) -> list[StyledLine]:
    return []


def _join(words: Sequence[str], cells: int) -> Iterator[str]:
    """Words joined by dots, broken between them where they can be."""
    current = ""
    for word in words:
        joined = f"{current} · {word}" if current else word
        if cell_len(joined) <= cells:
            current = joined
            continue
        if current:
            yield f"{current} ·" if cell_len(current) <= cells - 2 else current
        *full, current = wrap(word, cells)
        yield from full
    yield current


def _figures(line: MemoryRow | Sum, several: bool, usable: int) -> dict[str, str]:
    """The cells of a table row by heading: GiB of all devices if there are several, of the fullest, and its share."""
    sizes = {"all, GiB": line.total, "fullest, GiB": line.fullest} if several else {"GiB": line.fullest}
    shown = {head: "" if size is None else _figure(size, line.estimate) for head, size in sizes.items()}
    return {**shown, SHARE: percent(line.fullest, usable) if line.fullest else NONE}


def _figure(size: int, estimate: bool) -> str:
    if not size:
        return NONE
    return f"≈ {gib(size)}" if estimate else gib(size)


def _measure(words: str, cells: int) -> str:
    """A dimension line of ``cells`` with ``words`` in its middle; without them where they do not fit."""
    if cells < 2:
        return "│" * cells
    inside = f" {words} " if cell_len(words) + 6 <= cells else ""
    left = (cells - 2 - cell_len(inside)) // 2
    return f"├{'─' * left}{inside}{'─' * (cells - 2 - left - cell_len(inside))}┤"


def _fact(fact: Fact, cells: int) -> Iterator[StyledLine]:
    yield from _ends(((fact.label, ""),), (fact.value, fact.style or "strong"), cells)
    for line in wrap(fact.note, cells) if fact.note else ():
        yield (" " * (cells - cell_len(line)), ""), (line, "dim")


def _ends(left: StyledLine, right: StyledText, cells: int) -> Iterator[StyledLine]:
    """Words at the two ends of a line, or on lines of their own where one is too short for both."""
    blank = cells - width_of(left) - cell_len(right[0])
    if blank >= 1:
        yield *left, (" " * blank, ""), right
        return
    for text, style in left:
        yield from (((line, style),) for line in wrap(text.strip(), cells) if line)
    for line in wrap(right[0], cells):
        yield (" " * (cells - cell_len(line)), ""), (line, right[1])
