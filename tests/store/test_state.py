"""The state of the core and single facts, on a real SQLite file."""

import msgspec

from engine.model import make_key
from engine.statechange import Space, StateChange
from engine.store import state


def row(owner, key, blob, *, space=Space.WINDOWS, digest="d1", version=1):
    """One change."""
    return StateChange(space=space, owner=owner, key=make_key(key), digest=digest, state=blob, version=version)


def test_what_was_put_is_loaded_as_it_was(connection):
    """Blobs come back unopened with owner, key, digest and version, windows first, in the order they were first put."""
    rows = [
        row("b", {"run": "é\n7", "model": "m"}, b"\x00\xff", version=3),
        row("a", {}, b""),
        row("a", {"run": "7"}, b"x", space=Space.MATCHES, digest="d2"),
    ]
    state.put(connection, [rows[2], *rows[:2]])
    assert list(state.load(connection)) == rows


def test_the_newest_state_replaces_and_none_removes(connection):
    """One (space, owner, key) has one row; what is gone is gone, also where it never was."""
    key = {"run": "7"}
    state.put(connection, [row("a", key, b"old"), row("a", {"run": "8"}, b"other"), row("c", key, b"kept")])
    state.put(connection, [row("a", key, b"new", digest="d9"), row("a", {"run": "8"}, None), row("z", key, None)])
    assert [(each.owner, each.state, each.digest) for each in state.load(connection)] == [
        ("a", b"new", "d9"),
        ("c", b"kept", "d1"),
    ]


def test_one_owner_in_both_spaces_is_two(connection):
    """A signal and a rule of one name do not share a row."""
    state.put(connection, [row("a", {}, b"window"), row("a", {}, b"match", space=Space.MATCHES)])
    state.put(connection, [row("a", {}, None, space=Space.MATCHES)])
    assert [(each.space, each.state) for each in state.load(connection)] == [(Space.WINDOWS, b"window")]


def test_a_fact_is_one_value_by_name(connection):
    """It is replaced, read back byte for byte, and dropped."""
    assert state.fact(connection, "core") is None
    state.put_fact(connection, "core", b"1")
    state.put_fact(connection, "core", b"\x002")
    assert state.fact(connection, "core") == b"\x002"
    state.drop_fact(connection, "core")
    assert state.fact(connection, "core") is None


def test_who_paused_is_a_fact(connection):
    """Acting is allowed while nobody's name stands there."""
    assert state.paused(connection) is None
    who = state.Paused(who="uid 1000", at_us=7)
    state.put_fact(connection, "paused", msgspec.json.encode(who))
    assert state.paused(connection) == who
