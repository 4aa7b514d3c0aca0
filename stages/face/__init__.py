"""Where a face lies, its landmarks, and what is cut around them."""
