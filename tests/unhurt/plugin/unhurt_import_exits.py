"""A module whose import ends the interpreter."""

import sys

sys.exit("while it was imported")
