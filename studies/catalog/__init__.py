"""What can be heard, and where it came from."""
