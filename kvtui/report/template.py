"""An entry of a catalogue's file, to begin one of one's own with: what ``--template`` prints.

The packaged file says at its top what every key means, and each of its entries is an example. ``template("models",
None)`` is that top with the first entry as ``my-Llama-2-7B``; a name in its place gives the entry of that name.
"""

from __future__ import annotations

import re
from pathlib import Path

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.basis.places import DATA
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import find_model

_NAME = re.compile(r'^name = "(.*)"$', re.MULTILINE)
_OF_THIS_ONE = re.compile(r"^(?:id|aliases) = (?:\[[^\]]*\]|.*)\n", re.MULTILINE)


def template(kind: str, search: str | None) -> str:
    """A file of ``kind`` ("models" or "devices") with one entry, that of ``search`` or the first, under a new name.

    Raises UnknownName where the packaged file has none of that name.
    """
    text = Path(DATA, f"{kind}.toml").read_text(encoding="utf-8")
    top = text[: text.index("\n\n")]
    title = f"[[{kind.removesuffix('s')}]]\n"
    entries = {_NAME.findall(entry)[0]: entry for entry in text.split(title)[1:]}
    name = next(iter(entries))
    if search is not None:
        name = find_model(search).name if kind == "models" else find_device(search).name
        if name not in entries:
            raise UnknownName(f"{kind.removesuffix('s')} of the packaged file", search, entries)
    entry = "".join(line + "\n" for line in entries[name].splitlines() if not line.startswith("#")).rstrip()
    mine = _OF_THIS_ONE.sub("", _NAME.sub(f'name = "my-{name}"', entry, count=1) + "\n")
    return f"{top}\n\n{title}{mine}"
