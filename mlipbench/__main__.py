"""python -m mlipbench: the same as the `mlipbench` script."""

from mlipbench.cli.main import main

main()
