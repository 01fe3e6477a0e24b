"""Who heard what, blind, and what they said."""
