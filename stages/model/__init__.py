"""A trained network as files: description, weights, forms for elsewhere, card."""
