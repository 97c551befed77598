"""vLLM's budget, block groups and block counts, by release."""
