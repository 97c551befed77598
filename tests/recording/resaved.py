"""Records config files as transformers writes them again: ``python tests/recording/resaved.py FILE``.

Read are the released files of the tests (``tests/engine/sources/hf/published.py``), the small ones of
``tests/recording/mutants.py``, and one of class defaults for every other type that a reader of kvtui's is for, as far
as transformers has a class for them. The record has, by name, both files. Run it where transformers is installed, best
in an environment of its own.
"""

import gzip
import json
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from kvtui.engine.sources.hf.families import find_family
from tests.engine.sources.hf.published import PUBLISHED
from tests.recording.mutants import CLASSES, FAMILIES, default_file

LONGER = "inkling2_loop_text", "mllama_text_model"  # whose defaults name layers beyond the few


def written(config: dict[str, Any]) -> dict[str, Any] | None:
    """What transformers writes of ``config``; None where it has no class for it or refuses it."""
    try:
        read = CONFIG_MAPPING[config["model_type"]].from_dict(json.loads(json.dumps(config)))
        found: dict[str, Any] = json.loads(read.to_json_string(use_diff=True))
    except Exception:  # noqa: BLE001  whatever it raises, it does not read this file
        return None
    return found


def main(target: Path) -> None:
    """Write the record to ``target``, gzipped JSON."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    classes = json.loads(CLASSES.read_text(encoding="utf-8"))["classes"]
    others = {
        name: default_file(name, row["defaults"])
        for name, row in classes.items()
        if name not in (*FAMILIES, *LONGER) and not row.get("parts") and find_family(name)
    }
    small = {f"small {name}": {"model_type": name, **fields} for name, fields in {**FAMILIES, **others}.items()}
    found = {name: written(config) for name, config in {**PUBLISHED, **small}.items()}
    pairs = {name: [{**PUBLISHED, **small}[name], again] for name, again in found.items() if again is not None}
    print(f"{len(pairs)} of {len(found)}; not {', '.join(name for name in found if name not in pairs)}")
    target.write_bytes(gzip.compress(json.dumps(pairs, separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
