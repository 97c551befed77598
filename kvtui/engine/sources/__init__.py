"""A description from elsewhere (a config, a GGUF file, a name on the Hub) as a model."""
