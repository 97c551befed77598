"""The HTML report: well-formed, self-contained, accessible, and its picture counts right."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.output.markup import tag
from kvtui.report import render
from kvtui.report.bank_svg import layout
from tests.report.report_scenarios import HOSTILE, SCENARIOS, hostile, made

VOID = {"meta"}
PARTS = ("weights", "kv", "state", "activation", "overhead", "reserved_unused", "pool_free")


class Page(HTMLParser):
    """Collects elements and text, and fails where tags do not balance."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attributes}))
        assert len(dict(attributes)) == len(attributes)
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.elements if found == name]


def page(document: dict[str, Any]) -> Page:
    found = Page()
    found.feed(render(document, "html"))
    found.close()
    assert not found.open
    return found


def squares(path: str) -> int:
    return path.count("M")


@pytest.mark.parametrize("name", [*SCENARIOS, *HOSTILE])
def test_the_page_is_balanced_and_loads_nothing(name: str) -> None:
    found = page(made(name) if name in SCENARIOS else hostile(name))
    names = {element for element, _ in found.elements}
    assert not names & {"link", "img", "iframe", "object", "embed", "base", "form", "a", "use", "image"}
    for element, attributes in found.elements:
        assert not {"src", "href", "xlink:href", "srcset", "data", "action"} & set(attributes)
        assert not any(key.startswith("on") for key in attributes)
        for value in attributes.values():
            assert not re.search(r"url\((?!#)", value or ""), element
    [script] = found.all("script")
    assert not script
    text = render(made("paged"), "html")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert style.count("{") == style.count("}")


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()])
def test_hostile_names_are_text(name: str) -> None:
    found = page(hostile(name))
    assert name in "".join(found.texts)
    assert render(hostile(name), "html").count("<script") == 1


def test_only_the_pages_own_script_is_run() -> None:
    text = render(made("paged"), "html")
    script = text[text.index("<script>") + 8 : text.index("</script>")]
    [policy] = re.findall(r'content="(default-src [^"]*)"', text)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert unescape(policy) == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search(r"https?:|innerHTML|eval|import|fetch|XMLHttp", script)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_part_says_what_it_is_without_the_script_too(name: str) -> None:
    text = render(made(name), "html")
    picture = text[text.index('role="img"') : text.index("</svg>", text.index('role="img"'))]
    drawn = picture[picture.index("</defs>") :]
    titles = re.findall(r"<path [^>]*><title>([^<]*)</title></path>", drawn)
    assert len(titles) == drawn.count("<path ")
    legend = [unescape(re.sub("<[^>]*>", "", item)) for item in re.findall(r"<li>(<svg.*?)</li>", text)]
    assert {unescape(title).replace(": ", " ") for title in titles} <= set(legend)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_explanation_can_be_opened(name: str) -> None:
    found = page(made(name))
    explained = made(name)["explain"]
    assert len(found.all("details")) == len(found.all("summary")) == len(explained)
    text = "".join(found.texts)
    for entry in explained:
        assert entry["formula"] in text
        assert all(source in text for source in entry["sources"])
    assert made(name)["scenario"]["command_line"] in text


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_picture_is_described(name: str) -> None:
    found = page(made(name))
    [picture] = [svg for svg in found.all("svg") if svg.get("role") == "img"]
    ids = picture["aria-labelledby"].split()
    assert ids == [found.all("title")[1]["id"], found.all("desc")[0]["id"]]
    assert all(svg.get("aria-hidden") == "true" for svg in found.all("svg") if svg is not picture)
    assert [attributes["lang"] for attributes in found.all("html")] == ["en"]
    assert all(th.get("scope") in ("col", "row") for th in found.all("th"))


@pytest.mark.parametrize("name", [name for name, values in SCENARIOS.items() if "kv_pool" not in values])
def test_the_pictures_banks_are_the_parts_shares(name: str) -> None:
    found, memory = page(made(name)), made(name)["memory"]
    fullest, room = memory["fullest_device"], memory["budget_bytes_per_device"]
    span = max(room, fullest["total_bytes"])
    counts = dict.fromkeys((*PARTS, "over", "free"), 0)
    for path in found.all("path"):
        if "M1 21" in path["d"] or path.get("fill") or path.get("class") == "free":
            key = "free" if path.get("class") == "free" else path["fill"][len("url(#p-") : -1]
            counts[key] += squares(path["d"])
    banks = sum(counts[key] for key in (*PARTS, "free"))
    assert banks == layout(made(name)["device"]["modules"]).banks
    for part in PARTS:
        assert abs(counts[part] - fullest[f"{part}_bytes"] / span * banks) < 1
    assert abs(counts["over"] - (span - room) / span * banks) <= 1
    label = re.search(r"one bank = ([0-9.,]+) (KiB|MiB|GiB|TiB|PiB|EiB)", "".join(found.texts))
    assert label is not None
    unit = {"KiB": 2**10, "MiB": 2**20, "GiB": GIB, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}[label[2]]
    assert float(label[1].replace(",", "")) == pytest.approx(span / banks / unit, abs=0.06)


@pytest.mark.parametrize("modules", [1, 2, 3, 5, 6, 8, 12, 24, 32, 84, 1024])
def test_every_number_of_modules_has_a_layout(modules: int) -> None:
    plan = layout(modules)
    places = [plan.place(module) for module in range(modules)]
    wide, high = plan.size
    assert len(set(places)) == modules
    assert wide <= 1000
    assert all(x + plan.columns * 10 <= wide and y + 20 + plan.rows * 10 <= high for x, y in places)
    assert plan.banks >= 1000


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_tables_exact_bytes_sum_up(name: str) -> None:
    text = render(made(name), "html")
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">(?:<svg.*?</svg>)?(.*?)</th>(.*?)</tr>", text)
    last = {unescape(label): re.findall(r'class="exact">([0-9,]+)<', cells)[-1:] for label, cells in rows}
    sizes = {label: int(found[0].replace(",", "")) for label, found in last.items() if found}
    labels = ("weights", "KV cache", "state", "activations", "overhead", "reserved, unused", "rest of the pool")
    total = made(name)["memory"]["fullest_device"]["total_bytes"]
    assert sum(sizes.get(label, 0) for label in labels) == sizes["total"] == total


def test_elements_escape_what_they_are_given() -> None:
    made_tag = tag("p", "<b>", ["&", tag("i", "x")], class_='a"b', data_x=1, title="")
    assert made_tag == '<p class="a&quot;b" data-x="1">&lt;b&gt;&amp;<i>x</i></p>'
