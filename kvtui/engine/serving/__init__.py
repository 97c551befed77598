"""How the serving engines allocate the KV cache: one module per engine, a profile per version that differs."""
