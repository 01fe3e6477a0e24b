"""Argument parsing around one service each."""
