"""A name of a type means one thing in the whole package: who has read it once need not ask which one is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT


def types_in(path: Path) -> Iterator[str]:
    """The names of the classes and of the type aliases that are made in the file at ``path``, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) if name.lstrip("_")[:1].isupper() and not name.isupper():
                yield name


def test_no_name_of_a_type_stands_twice() -> None:
    found = defaultdict(list)
    for path in sorted((ROOT / "kvtui").rglob("*.py")):
        for name in types_in(path):
            found[name].append(str(path.relative_to(ROOT)))
    assert len(found) > 300
    assert {name: where for name, where in found.items() if len(where) > 1} == {}
