"""The cycle collector, told to rest where very many objects are made that stay: a load of rules, a restart."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
