"""Note overlap: how many notes of a snippet stand, together, somewhere in a corpus."""
