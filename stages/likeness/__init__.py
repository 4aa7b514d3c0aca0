"""Which pictures are the same, and which are near: hashes, the search for pairs, the decision."""
