"""Mode 5, Traffic: running servers and recordings of them."""
