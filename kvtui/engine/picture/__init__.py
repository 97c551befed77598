"""What is drawn of a plan, as numbers: which bank holds what at each moment of the film."""
