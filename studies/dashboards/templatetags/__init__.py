"""How numbers look in the studio."""
