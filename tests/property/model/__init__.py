"""A second implementation of DOMAIN.md, plain and slow, written from that page: one sequence of commands, its rows, and
what every command is answered.

Where the page leaves something open the model says what was decided, with the word "decided" in a comment.
"""

from .domain import Domain

__all__ = ["Domain"]
