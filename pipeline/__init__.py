"""The machinery: folders, workers and records. It knows nothing of faces or of torch."""
