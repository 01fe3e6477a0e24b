"""What analysis refuses."""


class AnalysisError(Exception):
    """Base class of what `analysis` refuses; the message names the value and what would be right."""
