"""How families read a Score, where two or more read it alike: a module per representation."""
