"""mlipbench: whether a machine-learning interatomic potential may be published or used, and why."""

__version__ = "0.1.0"
