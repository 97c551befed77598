"""The notes of a release: ``python .ci/release.py v0.2.0`` prints the changelog's part of that version.

It ends with 1 where the tag is not the package's version, or the changelog has no part of it, or one without a date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(tag: str) -> str:
    """The part of ``tag``. Raises SystemExit, one line, where there is none that can be released."""
    stated = re.search('__version__ = "(.+)"', (ROOT / "kvtui/__init__.py").read_text(encoding="utf-8"))
    version = stated[1] if stated else ""
    if tag != f"v{version}":
        raise SystemExit(f"{tag}: the package says {version}")
    parts = re.split(r"(?m)^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    for part in parts[1:]:
        head, _, body = part.partition("\n")
        if head.split()[0] == version:
            if "unreleased" in head:
                raise SystemExit(f"{tag}: the changelog says {head}; give it a date")
            return body.strip()
    raise SystemExit(f"{tag}: the changelog has no part of it")


if __name__ == "__main__":
    print(notes(sys.argv[1]))
