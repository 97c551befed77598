"""llama.cpp's cache and buffers, by release."""
