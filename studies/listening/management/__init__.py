"""Commands of the listening app."""
