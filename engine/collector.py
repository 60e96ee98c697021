"""The cycle collector, told to come seldom, and not at all while very many objects are made that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_MAX = 20_000
"""Objects made and not freed between two looks at the youngest; Python's own 700 brings a full look far too often."""


def calm() -> None:
    """Collect seldom, for the whole process; `engine.app` calls it.

    A full collection visits every key of every window: a third of a second with a million, in which nothing else is
    done. Python counts containers to decide when; keys and packed windows are none, so it would come much too often.
    """
    gc.set_threshold(YOUNG_MAX, 10, 10)


@contextmanager
def at_rest(*, settle: bool = False) -> Iterator[None]:
    """No collection inside; with `settle` it never again looks at what is there at the end.

    It would go through everything again and again to find nothing: a quarter of the time of a load of rules, a third of
    that of a million windows, and later a pause of the loop for each full collection.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if settle:
            gc.freeze()
        if collecting:
            gc.enable()
