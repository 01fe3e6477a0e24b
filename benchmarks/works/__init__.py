"""One module per family: what is measured of its speed, beside the way the original does it."""
