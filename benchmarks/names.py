"""What a thousand names cost, as people paste them: ``python benchmarks/names.py [ROUNDS]``.

Budget: a thousand of them resolved in at most 5 ms. The catalogue's names are looked up once, as a listing would.
"""

from __future__ import annotations

import sys
import time

from kvtui.engine.model.catalogue import model_keys, model_names
from kvtui.engine.sources.names import resolve

COUNT, BUDGET_MS = 1000, 5.0
FORMS = (
    "{}",
    "unsloth/{}-Instruct-GGUF:UD-Q4_K_XL",
    "{}-Instruct-2507-Q4_K_M-00001-of-00002.gguf",
    "RedHatAI/{}-FP8-dynamic",
    "mlx-community/{}-4bit",
    "https://huggingface.co/bartowski/{}-GGUF",
    "nobody/{}-pruned",
)


def main(rounds: int = 30) -> int:
    """Print the best time of ``rounds``; return 1 when the budget is missed."""
    names = [form.format(name) for name in model_names() for form in FORMS][:COUNT]
    keys = model_keys()
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        known = sum(resolve(name, keys) is not None for name in names)
        best = min(best, time.perf_counter() - start)
    print(f"{len(names):,} names, {known:,} of them known: {best * 1e3:.2f} ms (budget {BUDGET_MS:g})")
    return int(best * 1e3 > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
