"""What is said about a plan: explanations, terms, notices, alerts, papers and facts."""
