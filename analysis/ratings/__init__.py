"""Ratings in, estimates with intervals out."""
