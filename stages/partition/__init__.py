"""Groups of pictures that belong together, and the draw that keeps each on one side."""
