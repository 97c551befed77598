"""TensorRT-LLM's cache manager, by release."""
