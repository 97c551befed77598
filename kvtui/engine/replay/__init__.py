"""Replaying requests through an engine's own rules: which blocks they take, share, lose and wait for, step by step."""
