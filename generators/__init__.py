"""Learning to write music: model families, one training loop, one checkpoint format."""
