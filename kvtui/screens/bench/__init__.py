"""The Bench screen: choose what to measure, watch it run, read the results."""
