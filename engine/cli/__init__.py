"""Turns `halon …` into calls of the engine and exit codes: 0 done, 1 findings or not done, 2 usage or bad
config; `halon run` has 3 besides, for a store that is found damaged while it runs.

One module per command, named in `COMMANDS`; each is imported only when it is asked for, so that `halon status` does not
wait for the libraries of `halon replay`.
"""

from engine.cli.group import main

__all__ = ["main"]
