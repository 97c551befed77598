"""What can be wrong with an input, each as one line that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST_LISTED = 12
"""Names that are listed in an error without being asked for."""


class InputError(ValueError):
    """A value the user gave is wrong. The message says what, where, and the nearest right thing."""


class SeveralNames(InputError):
    """A name that may mean several things, which are ``near``; of many the first ones are listed."""

    def __init__(self, what: str, name: str, meant: Sequence[str], most: int) -> None:
        from kvtui.engine.basis.untrusted import plain

        self.near = tuple(meant)
        more = f" and {len(meant) - most} more" if len(meant) > most else ""
        super().__init__(f"{what}: '{plain(name)}' may be {', '.join(meant[:most])}{more}: give one")


class UnknownName(InputError):
    """A name that no catalogue knows.

    ``what`` is the noun ("model"), ``name`` the name as given, ``known`` the names it could have been. The message
    names the nearest of them, which are ``near``, and all where they are few or are to be ``listed``.
    """

    def __init__(self, what: str, name: str, known: Iterable[str], listed: bool = False) -> None:
        from difflib import get_close_matches

        from kvtui.engine.basis.untrusted import plain

        by_key = {candidate.casefold(): candidate for candidate in known}
        wanted = name.casefold()
        contained = [key for key in by_key if len(wanted) > 2 and wanted in key]
        near = list(dict.fromkeys([*contained, *get_close_matches(wanted, by_key, n=3, cutoff=0.5)]))[:3]
        self.near = tuple(by_key[key] for key in near)
        hint = f"; did you mean {' or '.join(self.near)}?" if near else ""
        few = len(by_key) <= MOST_LISTED
        every = f"; known are {', '.join(by_key.values())}" if by_key and (listed or few) else ""
        super().__init__(f"unknown {what} '{plain(name)}'{hint}{every}")
