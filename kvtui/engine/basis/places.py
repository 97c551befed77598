"""Where files are: the package's own data, and the user's settings, catalogues and state."""

from __future__ import annotations

import os
import sys

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "data")
"""The folder of the packaged tables."""


def state_dir() -> str:
    """The folder of what the app remembers between runs: ``$KVTUI_STATE_DIR``, else the platform's own place.

    On Linux that is ``$XDG_STATE_HOME/kvtui`` or ``~/.local/state/kvtui``, said here for the reason of ``config_dir``.
    """
    chosen = os.environ.get("KVTUI_STATE_DIR")
    if chosen:
        return chosen
    if sys.platform == "linux":
        return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "kvtui")
    from platformdirs import user_state_dir

    return user_state_dir("kvtui", appauthor=False)


def config_dir() -> str:
    """The folder of the user's settings and catalogues: ``$KVTUI_CONFIG_DIR``, else the platform's own place.

    On Linux that is ``$XDG_CONFIG_HOME/kvtui`` or ``~/.config/kvtui``, said here because every report looks there and
    platformdirs takes longer to import than the look.
    """
    chosen = os.environ.get("KVTUI_CONFIG_DIR")
    if chosen:
        return chosen
    if sys.platform == "linux":
        return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "kvtui")
    from platformdirs import user_config_dir

    return user_config_dir("kvtui", appauthor=False)


def confined() -> str | None:
    """The one folder whose files this process may read and write besides the package's own; None where it may all.

    ``$KVTUI_CONFINED`` names it, which ``kvtui serve`` sets for each visitor's app. Such an app opens no connections
    and measures nothing either.
    """
    return os.environ.get("KVTUI_CONFINED") or None
