"""What the generators refuse."""


class GeneratorError(Exception):
    """Base class of all that `generators` refuses; the message names the value and what would be right."""
