"""Works of the searches for copies, one module per measure: each has `WORKS`."""
