"""The synthetic set: a portrait, its mouth warped into expressions."""
