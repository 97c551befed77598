"""The scenario that the app was left with: option values like the command line's, in the user's state folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.basis.places import state_dir
from kvtui.engine.basis.tables import Fields, parse_toml
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.planning.starting import FOLLOWING_THE_DEVICE
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import to_values

FILE = "scenario.toml"
MAX_FILE_BYTES = 2**20

Options = Mapping[str, str | bool]


def read() -> Options:
    """The option values that were kept, by key; none if there is no file.

    Raises InputError, one line, when the file cannot be read or is not one of option values.
    """
    path = Path(state_dir()) / FILE
    where = plain(str(path), limit=400)
    try:
        text = read_text(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return {}
    fields = Fields(parse_toml(text, where), where)
    found: dict[str, str | bool] = {}
    for option in OPTIONS:
        value: str | bool | None
        if option.switch:
            value = fields.maybe(fields.flag, option.name)
        else:
            value = fields.maybe(fields.text, option.name, MAX_FILE_BYTES)
        if value is not None:
            found[option.key] = value
    fields.finish()
    return found


def write(options: Options) -> None:
    """Keep ``options`` for the next start. Raises OSError, or ValueError for text that no file can hold."""
    from tomli_w import dumps

    path = Path(state_dir()) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, dumps({option.name: options[option.key] for option in OPTIONS if option.key in options}))


def options_of(scenario: Scenario, *, follows_device: bool = False) -> Options:
    """The option values that give ``scenario`` again, from any folder.

    While it ``follows_device``, what the device's class decides is left out, so that it decides again.
    """
    options = to_values(scenario)
    ref = str(options["model"])
    path = os.path.expanduser(ref)
    if os.path.exists(path):
        options["model"] = os.path.abspath(path)
    return {key: value for key, value in options.items() if not (follows_device and key in FOLLOWING_THE_DEVICE)}
