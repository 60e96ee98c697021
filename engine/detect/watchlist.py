"""The keys that are watched more closely for a time: `engine.core` has the list, `engine.detect.judge` asks it.

It is input to the core, as the rules are: the store keeps it (`engine.store.watches`), people and the closing of
incidents change it.
"""

from collections.abc import Iterable

from engine.model import Key

ENTRIES_MAX = 10_000
"""Keys on the list; past this the one that ends first goes."""


class WatchList:
    """Keys with the time in which they are watched: from the first moment of it, up to and without the last."""

    def __init__(self) -> None:
        self._entries: dict[Key, tuple[int, int]] = {}
        self._by_pair: dict[tuple[str, str], set[Key]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: Key, *, since_us: int, until_us: int) -> None:
        """Watch a key; what stood there for it gives way. The empty key watches nothing: it would be everything."""
        if not key:
            return
        if key not in self._entries and len(self._entries) >= ENTRIES_MAX:
            self.remove(min(self._entries, key=lambda each: (self._entries[each][1], each)))
        self._entries[key] = (since_us, until_us)
        self._by_pair.setdefault(key[0], set()).add(key)

    def remove(self, key: Key) -> bool:
        """Watch it no more; False where it was not watched."""
        if self._entries.pop(key, None) is None:
            return False
        left = self._by_pair[key[0]]
        left.discard(key)
        if not left:
            del self._by_pair[key[0]]
        return True

    def watches(self, key: Key, at_us: int) -> bool:
        """Whether some entry has no pair that the key lacks, and its time holds `at_us`."""
        if not self._entries:
            return False
        return any(
            since_us <= at_us < until_us
            for entry in self._named(key)
            for since_us, until_us in (self._entries[entry],)
            if set(entry) <= set(key)
        )

    def _named(self, key: Key) -> Iterable[Key]:
        return (entry for pair in key for entry in self._by_pair.get(pair, ()))
