"""Sockets and counters: what reaches a running server. Everything here blocks, and runs in threads of its own."""
