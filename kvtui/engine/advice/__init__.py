"""What could be changed about a plan, and what each change buys."""
