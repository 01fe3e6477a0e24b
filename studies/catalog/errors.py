"""What the catalog refuses."""


class CatalogError(Exception):
    """Base class of everything that the catalog refuses; the message names the value and what is right."""
