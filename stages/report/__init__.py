"""The report: what came in, what was dropped and why, what the data and the model look like."""
