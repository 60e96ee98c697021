"""engine.intake.connection: topics as they come over the wire, and the codes of a SUBACK."""

import pytest

from engine.intake.connection import TOPIC_BYTES_CACHED_MAX, TOPICS_CACHED_MAX, Topics, is_refused


@pytest.mark.parametrize(
    ("raw", "text", "problem"),
    [
        (b"halon/events/a", "halon/events/a", ""),
        ("größe/µ".encode(), "größe/µ", ""),
        (b"a/\xff", "a/\\xff", "UTF-8"),
        (b"a/\xed\xa0\x80", "a/\\xed\\xa0\\x80", "UTF-8"),
        (b"a/#", "a/#", "character"),
        (b"a/+/b", "a/+/b", "character"),
        (b"a\0b", "a\0b", "character"),
    ],
)
def test_a_topic_becomes_text_and_says_what_is_wrong_with_it(raw, text, problem):
    """Once read or remembered, the answer is the same."""
    topics = Topics()
    for _ in range(2):
        found, why = topics.read(raw)
        assert found == text
        assert problem in why
        assert bool(problem) == bool(why)


def test_what_is_remembered_of_topics_is_bounded():
    """Whoever makes up topics without end, or long ones, does not fill the memory."""
    topics = Topics()
    for number in range(TOPICS_CACHED_MAX + 10):
        topics.read(b"t/%d" % number)
    assert len(topics._known) <= TOPICS_CACHED_MAX
    before = len(topics._known)
    assert topics.read(b"x" * (TOPIC_BYTES_CACHED_MAX + 1)) == ("x" * (TOPIC_BYTES_CACHED_MAX + 1), "")
    assert len(topics._known) == before


@pytest.mark.parametrize(("code", "refused"), [(0, False), (1, False), (2, False), (0x80, True), (0x87, True)])
def test_codes_from_0x80_are_refusals(code, refused):
    """SUBACK: 0 to 2 is the granted QoS, the rest are reasons."""
    assert is_refused(code) is refused
