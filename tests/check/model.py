"""The commands that the checker can run again: all that the model of tests/property knows."""

from property.model.effects import EFFECTS

__all__ = ["EFFECTS"]
