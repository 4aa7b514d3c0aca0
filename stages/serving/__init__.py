"""The page and the JSON endpoint to try a model."""
