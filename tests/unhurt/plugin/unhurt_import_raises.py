"""A module whose import fails in a way of its own."""

raise ZeroDivisionError("while it was imported")
