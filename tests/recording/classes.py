"""Writes kvtui/data/transformers.json: the configuration classes of transformers as data.

Run it where transformers is installed, best in an environment of its own: ``python tests/recording/classes.py FILE``.
Kept are the classes of models that generate text and of their parts, with the fields that can change a cache or the
weights: no token ids, dropouts, scales and the like.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

GENERATING = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES",
    "MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES",
)
LANGUAGE = ("text_config", "decoder", "decoder_config", "vlm_config", "thinker_config")
ALSO = {  # taken from the file without being fields
    "bloom": {"hidden_size": "n_embed"},
    "falcon": {"hidden_size": "n_embed"},
    "lfm2": {"intermediate_size": "block_ff_dim"},
    "nemotron_h": {"n_groups": "mamba_n_groups", "conv_kernel": "mamba_d_conv"},
}
BASE = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)} - {"is_encoder_decoder"}
DROPPED = (
    *("_token_id", "_token_index", "dropout", "initializer", "_eps", "epsilon", "_theta", "_coef", "_loss"),
    *("return_", "use_cache", "rope_parameters", "summary_", "_pdrop", "token_id", "time_step_", "_std", "layerdrop"),
)


def main(target: Path) -> None:
    """Write the table to ``target``."""
    wanted: set[str] = set().union(*(getattr(modeling_auto, names) for names in GENERATING))
    wanted |= {name for name in CONFIG_MAPPING_NAMES if any(f.name == "vocab_size" for f in fields(name))}
    while more := {kind for name in wanted for kind in language(name).values() if kind} - wanted:
        wanted |= more
    rows = {name: row(name) for name in sorted(wanted) if name in CONFIG_MAPPING_NAMES}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in rows.items())
    head = f'"transformers": {json.dumps(transformers.__version__)}'
    target.write_text(f'{{\n{head},\n"classes": {{\n{lines}\n}}\n}}\n', encoding="utf-8")


def fields(name: str) -> tuple[dataclasses.Field[Any], ...]:
    found: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(CONFIG_MAPPING[name])
    return found


def row(name: str) -> dict[str, Any]:
    defaults = {field.name: default(field) for field in fields(name) if kept(field)}
    found: dict[str, Any] = {"defaults": defaults}
    names = CONFIG_MAPPING[name].attribute_map.items()
    aliases = {usual: own for usual, own in names if own in defaults or usual in defaults}
    aliases |= ALSO.get(name, {})
    if aliases:
        found["aliases"] = aliases
    if language(name):
        found["parts"] = language(name)
    specs = getattr(CONFIG_MAPPING[name], "sub_configs_defaults", None) or {}
    absent = {part: shape(specs[part].init_kwargs) for part in language(name) if part in specs}
    if any(absent.values()):
        found["absent"] = {part: fields for part, fields in absent.items() if fields}
    return found


def shape(values: dict[str, Any] | None) -> dict[str, Any]:
    """Of the fields that a class gives a part that is not there, those that the table keeps."""
    return {name: value for name, value in (values or {}).items() if not dropped(name) and not isinstance(value, dict)}


def dropped(name: str) -> bool:
    return name in BASE or name.startswith("output_") or any(part in name for part in DROPPED)


def kept(field: dataclasses.Field[Any]) -> bool:
    if dropped(field.name):
        return False
    value = default(field)
    simple = value is None or isinstance(value, bool | int | float | str)
    return simple or (isinstance(value, list) and all(isinstance(item, int | str) for item in value))


def default(field: dataclasses.Field[Any]) -> object:
    value = field.default
    if value is dataclasses.MISSING:
        value = None if field.default_factory is dataclasses.MISSING else field.default_factory()
    return list(value) if isinstance(value, tuple) else value


def language(name: str) -> dict[str, str]:
    """The model type of each nested object that can hold the language model."""
    config = CONFIG_MAPPING[name]
    specs = getattr(config, "sub_configs_defaults", None) or {}
    found = {}
    for part in LANGUAGE:
        kind = getattr(specs.get(part), "model_type", None) or getattr(config.sub_configs.get(part), "model_type", None)
        if part in config.sub_configs:
            found[part] = kind or ""
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
