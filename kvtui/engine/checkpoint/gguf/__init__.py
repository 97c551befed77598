"""GGUF file types: what llama.cpp's quantiser makes of each tensor of a model."""
