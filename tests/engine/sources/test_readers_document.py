"""docs/readers.md says which model types and architectures are read, and is generated from the readers' tables."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_document_is_what_the_tables_say() -> None:
    spec = importlib.util.spec_from_file_location("readers_document", DOCS / "readers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "readers.md").read_text(encoding="utf-8") == module.markdown(), "run docs/readers.py"
