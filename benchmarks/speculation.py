"""Whether speculative decoding is exact: ``python benchmarks/speculation.py [SAMPLES]``.

Prints chi-square (35 degrees of freedom) and p-value of the first two tokens of so many generations (a million) over
Markov tables against the truth, for every target, and then the same for rules that are nearly right.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kvtui.bench.nn import speculate
from tests.bench.nn.markov import MUTANTS, TARGETS, chi_square, tables

samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
print(f"{samples:,} generations; the rule should have p above 0.001, a mutant 0\n")
for name, (verifiers, combine, bonus) in TARGETS.items():
    found, p = chi_square(tables(verifiers), combine, bonus, samples)
    print(f"{name:<66} chi-square {found:>12,.1f}   p {p:.3g}")
print()
for name, (attribute, wrong) in MUTANTS.items():
    right = getattr(speculate, attribute)
    setattr(speculate, attribute, wrong)
    verifiers, combine, bonus = TARGETS["product of experts"]
    found, p = chi_square(tables(verifiers), combine, bonus, samples)
    setattr(speculate, attribute, right)
    print(f"mutant: {name:<58} chi-square {found:>12,.1f}   p {p:.3g}")
