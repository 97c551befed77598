"""The benchmark. Only the worker process and ``bench.nn`` import JAX; planning, running and storing do not."""
