"""`python -m engine.cli`: the same as `halon`."""

from engine.cli.group import main

main(prog_name="halon")
