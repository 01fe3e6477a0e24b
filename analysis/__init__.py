"""Measuring music and ratings: what was copied, what listeners thought, and how sure we are."""
