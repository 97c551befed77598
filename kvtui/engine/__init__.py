"""The planner: pure functions over frozen data, standard library only."""
