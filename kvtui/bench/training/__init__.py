"""Training small decoders: the text, its tokens, the loop, and the folders that runs leave."""
