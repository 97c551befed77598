"""The hook of ``mkdocs.yml``: pages that are made of the package's own tables, and those that stand outside ``docs``.

``mkdocs build --strict`` calls it. A link that leads nowhere ends the build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from kvtui.commands.known import COMMANDS, CommandLine
from kvtui.engine.engines.known import KNOWN, milestones, span
from kvtui.engine.scenario.values import scenario_from
from kvtui.report.document import document
from kvtui.state import keys

ROOT = Path(__file__).parents[1]
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
EXAMPLE = {"model": "Qwen3-32B", "gpu": "H100 SXM", "context": "32K", "engine": "vllm"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in ``docs`` holds."""
    pages = {
        **{there: _outside((ROOT / name).read_text(encoding="utf-8")) for name, there in OUTSIDE.items()},
        "reference/options.md": _options(),
        "reference/keys.md": _keys(),
        "reference/report.md": _report(),
        "reference/engines.md": _engines(),
        "explanation/numbers.md": _numbers(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A link from a page of ``docs`` to one outside leads to its place in the site."""
    return re.sub(
        r"\]\(\.\./([A-Z]+\.md)", lambda found: f"]({OUTSIDE[found[1]]}" if found[1] in OUTSIDE else found[0], markdown
    )


def _outside(text: str) -> str:
    """The links of a page outside ``docs`` as they are within it; what has no page is named without a link."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, there in OUTSIDE.items():
        text = text.replace(f"]({name}", f"]({there}")
    return re.sub(r"\[([^\]]+)\]\(((?:tests|kvtui|benchmarks|examples|\.github)/[^)]*|LICENSE)\)", r"`\2`", text)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _options() -> str:
    line = CommandLine()
    line.whole()
    parts = ["# Options\n\nEvery option of every command, as `--help` prints them.\n"]
    for name in ("", *COMMANDS):
        parser = line.commands.get(name, line.parser)
        what = COMMANDS[name][1] if name else "the app, or with `--report` the plan"
        rows = [
            (
                f"`{', '.join(action.option_strings) or action.metavar or action.dest}`",
                action.metavar or "",
                action.help or "",
            )
            for action in parser._actions  # noqa: SLF001 - argparse lists them nowhere else
            if action.help != "==SUPPRESS==" and action.dest not in {"help", "command"}
        ]
        parts.append(
            f"\n## kvtui {name}\n\n{what[0].upper()}{what[1:]}.\n\n{_table(('option', 'value', 'what it says'), rows)}"
        )
    return "".join(parts)


def _keys() -> str:
    parts = [
        "# Keys\n\nEvery key can be changed under its id, in `[keymap]` of `config.toml`; `kvtui doctor` says where.\n"
    ]
    sections: dict[str, list[keys.Key]] = {}
    for key in keys.ALL:
        sections.setdefault(key.section, []).append(key)
    for section, found in sections.items():
        rows = [
            (f"`{key.keys.replace(',', '` `')}`" if key.keys != "," else "`,`", key.text, f"`{key.id}`")
            for key in found
        ]
        parts.append(f"\n## {section[0].upper()}{section[1:]}\n\n{_table(('key', 'what it does', 'id'), rows)}")
    return "".join(parts)


def _report() -> str:
    schema = json.loads((ROOT / "docs/schema/report-1.json").read_text(encoding="utf-8"))
    top = "# The JSON report\n\n`kvtui --report json`. Keys are only added. The schema is "
    return f"{top}`docs/schema/report-1.json`.\n\n" + _table(
        ("key", "type", "what it is"), _schema_rows(schema, schema, "")
    )


def _schema_rows(root: Mapping[str, Any], part: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, value in part.get("properties", {}).items():
        found = _resolved(root, value)
        kind = found.get("type", "")
        yield (
            f"`{path}{name}`",
            " or ".join(kind) if isinstance(kind, list) else str(kind),
            value.get("description") or found.get("description", ""),
        )
        yield from _schema_rows(root, found, f"{path}{name}.")
        if "items" in found:
            yield from _schema_rows(root, _resolved(root, found["items"]), f"{path}{name}[].")


def _resolved(root: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    return root["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value


def _engines() -> str:
    parts = ["# Engines\n\nWithout a release the newest is meant: `--engine vllm@0.22` names one.\n"]
    for known in KNOWN:
        known_span = span(known.name)
        which = (
            f"Releases {known_span.oldest} to {known_span.newest}."
            if known_span.oldest
            else "All releases are taken as one."
        )
        also = f", also {', '.join(f'`{alias}`' for alias in known.aliases)}" if known.aliases else ""
        parts.append(f"\n## {known.title}\n\n`--engine {known.name}`{also}. {which}\n\n")
        rows = [(one.version, one.news) for one in milestones(known.name)]
        parts.append(_table(("from", "what changed"), rows) if rows else "")
    return "".join(parts)


def _numbers() -> str:
    words = " ".join(f"--{name} '{value}'" if " " in value else f"--{name} {value}" for name, value in EXAMPLE.items())
    parts = [f"# How each number is made\n\nOf `kvtui --report {words}`; the key `e` shows the same of any scenario.\n"]
    for one in document(scenario_from(EXAMPLE))["explain"]:
        rows = [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in one["values"].items()]
        parts.append(f"\n## {one['id'].replace('_', ' ')}\n\n`{one['formula']}`\n\n{_table(('value', 'is'), rows)}")
        parts.append(f"\n{one['bytes']:,} bytes.\n" if one["bytes"] is not None else "")
        parts += [f"\nSource: {_cell(source)}.\n" for source in one["sources"]]
    return "".join(parts)
