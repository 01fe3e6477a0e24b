"""One file per model family, read next to its paper. This folder is the registry."""
