"""Frames of videos and cameras: read, faces followed, labelled, written."""
