"""Devices as people say them, in the words of the options: ``2x 3090`` is --gpu 3090 --gpus 2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvtui.engine.basis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "six": 6, "eight": 8}
_COUNTED = rf"(?is)\s*(?:([0-9]{{1,5}})\s*(?:[×*]|x(?!tx?\b))\s*|({'|'.join(_NUMBERS)})\s+)(\S.*)"
"""A number and times, which the x of "7900 XT" does not say."""
_SEVERAL = r"(?i)\w\s*(?:,|\s[+&]\s|\sand\s)\s*\w"
_BETWEEN = r"(?i)\s*(?:[,+&]|\sand\s)\s*"


def spelled_out(values: Mapping[str, str | bool | None]) -> Mapping[str, str | bool | None]:
    """Option ``values`` in which --gpu names one device alone.

    What it says besides, a number of devices or the same one several times, is put into its option unless that has a
    value. Raises InputError for several kinds.
    """
    text = values.get("gpu")
    if isinstance(text, str) and text.casefold().split()[:1] == ["own"]:
        return values
    each = re.split(_BETWEEN, text.strip().casefold()) if isinstance(text, str) else []
    if len(each) > 1 and len(set(each)) == 1:
        return {**values, "gpu": each[0], "gpus": values.get("gpus") or str(len(each))}
    if isinstance(text, str) and re.search(_SEVERAL, text):
        raise InputError("gpu: devices of one kind are planned together, not several kinds: name one, --gpus how many")
    if not isinstance(text, str) or not (text.lstrip()[:1].isdigit() or text.split(" ")[0].lower() in _NUMBERS):
        return values
    counted = re.fullmatch(_COUNTED, text)
    if counted is None:
        return values
    number = counted[1] or str(_NUMBERS[counted[2].lower()])
    return {**values, "gpu": counted[3].strip(), "gpus": values.get("gpus") or number}
