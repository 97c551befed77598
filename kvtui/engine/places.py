"""Where a user's own files are."""

from __future__ import annotations

import os
import sys


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
