"""What a scenario needs, part by part, and whether, how long and how often it fits."""
