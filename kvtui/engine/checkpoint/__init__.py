"""How weights are stored: formats as recipes per tensor, and the bytes they come to in files and on devices."""
