"""Pictures in a terminal's own pixels: which protocol it has, and a raster in the words of each."""
