"""The largest numbers that a scenario takes. Beyond them every answer is the same, or none is."""

from __future__ import annotations

MAX_DEVICES = 65_536
MAX_BATCH = 1_000_000
MAX_BLOCK_TOKENS = 65_536
MAX_SPECULATIVE_TOKENS = 64
MAX_DRAFT_LAYERS = 64
MAX_STAGES = 4096
MAX_LAYERS = 9999
