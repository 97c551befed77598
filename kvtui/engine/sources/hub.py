"""``hf:ORG/NAME``: a model's ``config.json`` from the Hugging Face Hub → ModelSpec."""

from __future__ import annotations

import re
from pathlib import Path

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec

PREFIX = "hf:"
_FILE = "config.json"
_SECONDS = 10.0
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def read_hub(text: str) -> ModelSpec:
    """The model ``hf:ORG/NAME``, from the local cache of huggingface_hub or the network.

    Raises InputError for a malformed or unknown name, a gated repository, no network, and when huggingface_hub is not
    installed.
    """
    from kvtui.engine.sources.hf.config import read_config

    return read_config(_fetch(text.removeprefix(PREFIX)))


def _fetch(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise InputError(f"model: '{PREFIX}{plain(name)}' is not of the form {PREFIX}ORG/NAME")
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError
    except ImportError:
        raise InputError("model: hf: names need the package huggingface_hub: pip install 'kvtui[hub]'") from None
    try:
        return Path(hf_hub_download(name, _FILE, local_files_only=True))
    except (OSError, ValueError):
        pass
    try:
        # The download alone would try again for half a minute, with warnings, where there is no network.
        get_hf_file_metadata(hf_hub_url(name, _FILE), timeout=_SECONDS)
        return Path(hf_hub_download(name, _FILE))
    except GatedRepoError:
        why = "is gated; ask for access on its page and log in with `hf auth login`"
    except RepositoryNotFoundError:
        why = "is not on the Hub, or not public"
    except EntryNotFoundError:
        why = f"has no {_FILE}"
    except Exception as error:  # noqa: BLE001  whatever the HTTP library in use raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        why = f"is not in the local cache and cannot be downloaded: {plain(reason, 160)}"
    raise InputError(f"model: {PREFIX}{plain(name)} {why}")
