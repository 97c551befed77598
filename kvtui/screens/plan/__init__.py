"""The Plan screen: what fits where, and what to change."""
