"""Melodies as strings, and the longest approximate match between them."""
