"""The watch list by itself: which keys an entry watches, and its bound."""

import pytest

from engine.detect import watchlist
from engine.detect.watchlist import WatchList
from engine.model import make_key


@pytest.mark.parametrize(
    ("entry", "key", "watched"),
    [
        ({"model": "m"}, {"model": "m"}, True),
        ({"model": "m"}, {"client": "c", "model": "m"}, True),
        ({"client": "c", "model": "m"}, {"model": "m"}, False),
        ({"model": "m"}, {"model": "n"}, False),
        ({"model": "m"}, {"run": "m"}, False),
        ({"model": "m"}, {}, False),
        ({}, {"model": "m"}, False),
    ],
)
def test_an_entry_watches_every_key_that_has_its_pairs(entry, key, watched):
    """All of them, by name and value; the empty key would be everything, and watches nothing."""
    made = WatchList()
    made.add(make_key(entry), since_us=0, until_us=10)
    assert made.watches(make_key(key), 5) is watched


def test_a_later_entry_for_a_key_takes_the_place_of_the_earlier():
    """Its time counts, shorter or longer."""
    made, key = WatchList(), make_key({"k": "x"})
    made.add(key, since_us=0, until_us=100)
    made.add(key, since_us=0, until_us=10)
    assert not made.watches(key, 50)
    assert len(made) == 1


def test_past_the_bound_the_entry_that_ends_first_goes(monkeypatch):
    """The list stays bounded however many incidents are closed."""
    monkeypatch.setattr(watchlist, "ENTRIES_MAX", 2)
    made = WatchList()
    for name, until_us in (("a", 30), ("b", 20), ("c", 40)):
        made.add(make_key({"k": name}), since_us=0, until_us=until_us)
    assert [name for name in "abc" if made.watches(make_key({"k": name}), 10)] == ["a", "c"]
