"""A server's boot log beside the prediction for it, and what the differences mean."""
