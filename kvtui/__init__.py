"""kvtui: see, plan and measure the KV cache of large language models."""

__version__ = "0.1.0"
