"""How the config.json reader does on recorded model types: ``python benchmarks/readers.py [FILE.jsonl[.gz]]``.

Each row of the file has a config of transformers, the parameters of the model built from it, and the bytes of K and V
that 40 tokens left in its cache. Printed by kind of family are the types that are read (cache and weights right), in
part (cache right, weights unknown), refused, wrong, and unmeasured (no cache recorded), with the time per file. Returns
1 where a type is read wrong.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.engine.sources.hf.recorded import DATA, Reading, read

VERDICTS = ("read", "partial", "refused", "wrong", "unmeasured")
KINDS = (
    ("encoder-decoder", ("is_encoder_decoder",)),
    ("latent", ("kv_lora_rank",)),
    (
        "state",
        ("mamba_d_state", "ssm_state_size", "state_size", "linear_conv_kernel_dim", "conv_L_cache", "conv_kernel_size"),
    ),
    ("experts", ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")),
    ("windows", ("sliding_window", "attention_chunk_size", "window_size", "sliding_window_size")),
)


def main(path: Path = DATA / "transformers-5.24.jsonl.gz") -> int:
    """Print the table and what is refused or wrong."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    found: dict[str, list[Reading]] = defaultdict(list)
    for row in rows:
        found[kind(row)].append(read(row))
    print(f"{'family':<18}" + "".join(f"{verdict:>12}" for verdict in VERDICTS) + f"{'all':>8}{'ms/file':>10}")
    for name, readings in sorted(found.items()):
        _print(name, readings)
    everything = [reading for readings in found.values() for reading in readings]
    _print("all", everything)
    for reading in everything:
        if reading.verdict in ("refused", "wrong"):
            print(f"{reading.verdict:<8} {reading.type}: {reading.said[:160]}")
    return int(any(reading.verdict == "wrong" for reading in everything))


def kind(row: dict[str, object]) -> str:
    """The first of ``KINDS`` that a field of the row's config speaks of, else plain; and whether there is a tower."""
    config = row.get("config")
    if not isinstance(config, dict):
        return "none"
    inner = next((part for name, part in config.items() if name == "text_config" and isinstance(part, dict)), config)
    name = next(
        (name for name, fields in KINDS if any(inner.get(field) or config.get(field) for field in fields)), "plain"
    )
    return f"{name} in a tower" if inner is not config else name


def _print(name: str, readings: list[Reading]) -> None:
    counts = Counter(reading.verdict for reading in readings)
    times = [1e3 * reading.seconds for reading in readings if reading.seconds]
    row = "".join(f"{counts[verdict]:>12}" for verdict in VERDICTS)
    print(f"{name:<18}{row}{len(readings):>8}{median(times) if times else 0:>10.2f}")


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
