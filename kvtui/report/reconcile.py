"""A boot log beside its plan: a document, and the text, JSON, CSV and Markdown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from kvtui import __version__
from kvtui.engine.basis.units import GIB, MIB, format_bytes, format_tokens
from kvtui.engine.engines.known import KNOWN
from kvtui.engine.reconcile.reconcile import Reconciliation
from kvtui.engine.scenario.values import command_line
from kvtui.output.lines import StyledLine, rule, wrap
from kvtui.output.table import Column, TableRows
from kvtui.report.document import SCHEMA
from kvtui.report.forms import renderer

NONE = "–"
MEASURED = {
    "weights_bytes": "weights",
    "activation_bytes": "peak activation",
    "graphs_bytes": "CUDA graphs",
    "non_torch_bytes": "outside of torch",
}
ENGINES = {known.name: known for known in KNOWN}


def document(found: Reconciliation) -> dict[str, Any]:
    """The whole comparison as plain values: bytes are exact integers, decimals have at most six digits."""
    log, scenario = found.log, found.scenario
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "log": {
            "engine": log.engine,
            "version": log.words.get("version"),
            "model": log.words.get("model") or log.words.get("model_name"),
            "error": log.words.get("error"),
            "starts": log.starts,
            "missing": list(log.missing),
        },
        "scenario": {
            "model": scenario.model.name,
            "gpu": scenario.device.name if found.known_device else None,
            "gpus": scenario.layout.devices,
            "kv_dtype": scenario.kv_dtype,
            "context_tokens": scenario.context,
            "kv_pool_bytes": scenario.kv_pool,
            "command_line": f"kvtui --report {command_line(scenario)}",
        },
        "agrees": found.agrees,
        "rows": [
            {
                "id": row.id,
                "label": row.label,
                "unit": row.unit,
                "predicted": _plain(row.predicted),
                "observed": _plain(row.observed),
                "difference": _plain(row.difference),
                "difference_percent": None if row.percent is None else round(row.percent, 4),
                "verdict": row.verdict,
                "exact": row.exact,
                "meaning": row.meaning or None,
            }
            for row in found.rows
        ],
        "measured": {key: getattr(found.measured, key.removesuffix("_bytes")) for key in MEASURED},
        "remedies": [
            {
                "flags": remedy.flags or None,
                "meaning": remedy.words,
                "command_line": f"kvtui --report {command_line(remedy.scenario)}",
            }
            for remedy in found.remedies
        ],
        "notes": list(found.notes),
    }


def _plain(value: int | Fraction | None) -> int | float | None:
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else round(float(value), 6)
    return value


def title(found: Mapping[str, Any]) -> list[str]:
    """What the log is of, in a few words each."""
    log, scenario = found["log"], found["scenario"]
    name = ENGINES[log["engine"]].title
    device = scenario["gpu"] or ("device" if scenario["gpus"] == 1 else "devices")
    devices = device if scenario["gpus"] == 1 else f"{scenario['gpus']} × {device}"
    return [
        f"{name} {log['version']}" if log["version"] else name,
        scenario["model"],
        devices,
        f"{scenario['kv_dtype']} KV",
        f"{format_tokens(scenario['context_tokens'])} tokens",
    ]


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence on how the log and the plan compare: of what agrees or differs, and of nothing else.

    Where the log prints the memory of the cache, exact predictions are made from it: that is said, and that what lies
    beside the cache is an estimate.
    """
    pool = found["scenario"]["kv_pool_bytes"]
    given = "" if pool is None else f"fed with the log's {format_bytes(pool)} of cache, "
    estimates = "; estimates from before the start stand below" if pool is not None and _estimated(found) else ""
    exact = [row for row in found["rows"] if row["exact"] and row["verdict"] in ("agrees", "differs")]
    differ = [row["label"] for row in exact if row["verdict"] == "differs"]
    if differ:
        return f"{given}{len(differ)} of {len(exact)} exact predictions differ from the log: {_listed(differ)}"
    if not exact:
        return "nothing in the log could be compared with an exact prediction"
    on = _listed([row["label"] for row in exact])
    return f"{given}the plan agrees with the log on {on}, within the digits it prints{estimates}"


def _estimated(found: Mapping[str, Any]) -> bool:
    return any(row["verdict"] == "estimate" for row in found["rows"])


def _listed(labels: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What to know besides the rows: errors, differences and what they may mean, assumptions, and what is missing."""
    log = found["log"]
    said = [f"the server did not start: {log['error']}"] if log["error"] else []
    meanings = dict.fromkeys(row["meaning"] for row in found["rows"] if row["meaning"])
    said += [
        f"{', '.join(row['label'] for row in found['rows'] if row['meaning'] == meaning)}: {meaning}"
        for meaning in meanings
    ]
    said += found["notes"]
    return said + [f"the log does not say {what}" for what in log["missing"]]


def measured(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Names and bytes of the overheads that the log shows."""
    return [(label, found["measured"][key]) for key, label in MEASURED.items() if found["measured"][key] is not None]


def _columns(found: Mapping[str, Any]) -> tuple[Sequence[Column], TableRows]:
    size = ENGINES[found["log"]["engine"]].log_unit
    columns = (
        Column("label", "component", priority=0),
        Column("predicted", "predicted", align="right", priority=0),
        Column("observed", "observed", align="right", priority=0),
        Column("difference", "difference", align="right", priority=2),
        Column("percent", "%", align="right", priority=1),
        Column("verdict", "verdict", priority=0),
    )
    rows = [
        {
            "label": row["label"],
            "predicted": _figure(row["predicted"], row["unit"], size),
            "observed": _figure(row["observed"], row["unit"], size),
            "difference": _signed(row["difference"], row["unit"], size),
            "percent": _percent(row["difference_percent"]),
            "verdict": row["verdict"],
        }
        for row in found["rows"]
    ]
    return columns, rows


def _figure(value: float | None, unit: str, size: int) -> str:
    """``value`` in the unit and with the digits that the log has."""
    match unit:
        case _ if value is None:
            return NONE
        case "bytes":
            return f"{value / size:,.2f} {'MiB' if size == MIB else 'GiB'}"
        case "percent":
            return f"{value:.2f}%"
        case "requests":
            return f"{value:,.2f}×"
    return f"{value:,} {unit}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}".replace("-", "−")


def _signed(value: float | None, unit: str, size: int) -> str:
    if value is None or not value:
        return NONE if value is None else "0"
    text = _figure(abs(value), unit, size)
    if not any(digit in text for digit in "123456789"):
        return "0"
    return f"{'+' if value > 0 else '−'}{text}"


def _lines(found: Mapping[str, Any], width: int) -> list[StyledLine]:
    from kvtui.output import table

    style = {True: "ok", False: "bad", None: ""}[found["agrees"]]
    says = [((part, style),) for part in wrap(verdict(found), width)]
    head: list[StyledLine] = [(("  ".join(title(found)), "heading"),), *says, ()]
    tail: list[StyledLine] = []
    solid = measured(found)
    if solid:
        tail += [(), rule("measured on one device", width)]
        tail += [((f"{label:<20}{size / GIB:>10,.3f} GiB", ""), (f"{size:>18,} B", "dim")) for label, size in solid]
    ways = [(way["flags"] or way["meaning"], way["meaning"] if way["flags"] else "") for way in found["remedies"]]
    if ways:
        tail += [(), rule("what would let it start, by this plan", width)]
        tail += [
            ((part, ""),)
            for flags, words in ways
            for part in wrap(f"{flags}{f'   ({words})' if words else ''}", width, indent=2)
        ]
    said = remarks(found)
    if said:
        tail += [(), rule("remarks", width)]
        tail += [((part, ""),) for text in said for part in wrap(f"- {text}", width, indent=2)]
    columns, rows = _columns(found)
    body = table.lines(columns, rows, width) if rows else []
    return [*head, *body, *tail]


def _csv(found: Mapping[str, Any]) -> str:
    from kvtui.output.csv import csv_text

    heads = list(found["rows"][0]) if found["rows"] else ["id"]
    return csv_text([heads, *(list(row.values()) for row in found["rows"])])


def _markdown(found: Mapping[str, Any]) -> str:
    from kvtui.output import markdown, table

    columns, rows = _columns(found)
    blocks = [
        f"# {markdown.escape(' · '.join(title(found)))}",
        f"**{markdown.escape(verdict(found))}**",
        table.render(columns, rows, "markdown").rstrip("\n"),
    ]
    solid = measured(found)
    if solid:
        body = [(label, f"{size:,}", f"{size / GIB:,.3f}") for label, size in solid]
        blocks += ["## Measured on one device", markdown.table(["", "bytes", "GiB"], body)]
    if found["remedies"]:
        ways = [(way["flags"] or "", way["meaning"], way["command_line"]) for way in found["remedies"]]
        blocks += ["## What would let it start", markdown.table(["flags", "meaning", "plan"], ways, ["left"] * 3)]
    said = remarks(found)
    if said:
        blocks += ["## Remarks", "\n".join(f"- {markdown.escape(text)}" for text in said)]
    blocks += ["## Reproduce", markdown.fence(found["scenario"]["command_line"])]
    return "\n\n".join(blocks) + "\n"


render = renderer(_lines, _csv, _markdown)
