"""A third party's plug-in."""
