"""Training and what it needs; everything here but `recipes` imports torch."""
