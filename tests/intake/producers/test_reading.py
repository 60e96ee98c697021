"""engine.intake.producers.reading: foreign JSON, read leniently."""

import pytest

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message
from engine.intake.producers.reading import (
    Part,
    address,
    digest,
    known,
    make_event,
    read_json,
    read_lines,
    rfc3339_us,
    seconds_us,
)

WHOLE = Part({"a": {"b": [1, "x", None]}, "t": "word", "n": 7, "f": 1.5, "yes": True, "s": "42", "bad": "a\x07b"})


def test_what_is_there_and_of_the_right_kind_is_given():
    """Each question is answered by its own kind of value alone."""
    assert WHOLE.at("a", "b").value == [1, "x", None]
    assert [each.value for each in WHOLE.items("a", "b")] == [1, "x", None]
    assert set(WHOLE.members()) == {"a", "t", "n", "f", "yes", "s", "bad"}
    assert (WHOLE.text("t"), WHOLE.name("n"), WHOLE.number("f"), WHOLE.integer("n"), WHOLE.flag("yes")) == (
        "word",
        "7",
        1.5,
        7,
        True,
    )
    assert WHOLE.integer("s") == 42
    assert WHOLE.texts() == WHOLE.table() == {"t": "word", "s": "42", "bad": "a\x07b"}
    assert WHOLE.at("a").json() == '{"b":[1,"x",null]}'


def test_what_is_missing_or_of_another_kind_is_nothing():
    """No path raises, however odd."""
    for path in (("zz",), ("t", "x"), ("a", "b", "c"), ("yes",)):
        part = WHOLE.at(*path)
        assert (part.text(), part.number(), part.integer(), part.items(), part.members()) == (None, None, None, [], {})
    assert WHOLE.flag("n") is None
    assert WHOLE.name("yes") is None
    assert Part(float("nan")).number() is None
    assert Part("9" * 30).integer() is None


def test_names_have_no_control_characters_and_an_end():
    """A name is a key: it is printable and bounded."""
    assert WHOLE.name("bad") == "ab"
    assert Part("x" * 1_000).name() == "x" * 256
    assert Part("\n").name() is None


def test_one_document_an_array_and_lines_are_read():
    """Each value comes with words for its place; one bad line does not hide the others."""

    def read(raw):
        return [(place, each if isinstance(each, Malformed) else each.value) for place, each in read_lines(raw)]

    assert read(b'{"a": 1}') == [("", {"a": 1})]
    assert read(b"[1, 2]") == [("[0]", 1), ("[1]", 2)]
    assert read(b'{"a": 1}\n\n{"a": 2}\n') == [("line 1", {"a": 1}), ("line 2", {"a": 2})]
    assert [type(each) for _, each in read(b'{"a": 1}\n{"a": \n')] == [dict, Malformed]
    assert [type(each) for _, each in read(b"{\n}}")] == [Malformed]


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"{", "not JSON: "), (b'"\xff"', "not "), (b"[" * 9_000, "nested too deeply")]
)
def test_what_is_no_json_says_so(raw, reason):
    """Bytes that are no JSON are reasons."""
    answer = read_json(raw)
    assert isinstance(answer, Malformed)
    assert answer.reason.startswith(reason)


def test_a_field_that_is_not_known_is_left_out():
    """Null and empty are not known; 0 and false are."""
    assert known(a=None, b="", c={}, d=[], e=0, f=False, g="x") == {"e": 0, "f": False, "g": "x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [("192.0.2.7", "192.0.2.7"), ("2001:DB8::1", "2001:db8::1"), ("sagemaker.amazonaws.com", None), ("", None)],
)
def test_only_an_ip_address_is_an_address(text, found):
    """What can't be isolated is not handed on as if it could."""
    assert address(text) == found


def test_times_that_are_none_are_nothing():
    """Go's zero time, nonsense and numbers without end."""
    assert rfc3339_us("2026-01-01T00:00:00Z") == 1_767_225_600_000_000
    assert [rfc3339_us(each) for each in ("0001-01-01T00:00:00Z", "yesterday", "", None)] == [None] * 4
    assert seconds_us(1_767_225_600.5) == 1_767_225_600_500_000
    assert [seconds_us(each) for each in (-1, 1e300, None)] == [None] * 3


def test_an_event_goes_through_the_checks_of_any():
    """A reason names the place; without a source of its own an event has the door's."""
    message = Message(body=b"", source="/http/x", arrived_us=5)
    event = make_event(message, "alerts[0]", id="1", type="a.b", data={"n": 1}, source="\x00")
    assert (event.source, event.time_us, event.data) == ("/http/x", 5, {"n": 1})
    wrong = make_event(message, "alerts[0]", id="", type="a.b", data={})
    assert wrong == Malformed("`alerts[0]`: `id` is empty")


def test_the_parts_of_an_id_do_not_run_together():
    """("ab", "c") and ("a", "bc") are two things."""
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", None) == digest("a", "")
