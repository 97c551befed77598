"""A decoder-only transformer in JAX: plain pytrees and pure functions, with shapes in the signatures."""
