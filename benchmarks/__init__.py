"""What the families are worth: their speed beside the usual way, their music beside real music."""
