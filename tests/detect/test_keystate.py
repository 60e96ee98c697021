"""A dump is read from its head alone, and refused where it is none."""

import msgspec
import pytest

from engine.detect.keystate import FORMAT, KeyState, head, version
from tests.support.rules import rules_of

PLAIN = "[signal.s]\non = 't'\nby = { k = 'event.subject' }\ncooldown = '1m'\n"


def test_the_head_of_a_dump_is_read_without_the_rest():
    """When it was used and is to be looked at; anything else is a decode error."""
    [rule] = rules_of(PLAIN).signals.values()
    state = KeyState(rule, 0)
    state.used, state.queued_us = 7, 8
    assert (head(state.dump()).used, head(state.dump()).queued_us) == (7, 8)
    assert version(rule) == 1_000 * FORMAT
    for blob in (b"", b"\xc1", b"\x90", b"\x92\x01\xa1x"):
        with pytest.raises(msgspec.DecodeError):
            head(blob)
