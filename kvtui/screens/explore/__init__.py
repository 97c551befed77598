"""The Explore screen: figures of the scenario."""
