"""engine.cloudevents: what is a CloudEvent, what is not and why, and that nothing is lost on the way back."""

import base64
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cloudevents import (
    ATTRIBUTE_CHARS_MAX,
    EXTENSIONS_MAX,
    Malformed,
    decode,
    decode_binary,
    decode_event,
    decode_plain,
    encode_event,
    event_from,
)
from engine.model import Event

NOW_US = 1_800_000_000_000_000
BASE = {"specversion": "1.0", "id": "e-1", "source": "/train", "type": "training.step"}


def one(**members):
    return decode_event(json.dumps({**BASE, **members}).encode(), arrived_us=NOW_US)


def test_a_full_event_keeps_every_member():
    """Attributes, data and extensions all arrive; content type and schema stand among the extensions."""
    assert one(
        time="2026-01-01T00:00:00.25Z",
        subject="run-7",
        datacontenttype="application/json",
        dataschema="https://example.com/schema",
        data={"loss": 0.5, "tags": [1, None, "x"]},
        partitionkey="p",
        sampled=True,
        hops=3,
    ) == [
        Event(
            id="e-1",
            source="/train",
            type="training.step",
            time_us=1_767_225_600_250_000,
            subject="run-7",
            data={"loss": 0.5, "tags": [1, None, "x"]},
            ext={
                "datacontenttype": "application/json",
                "dataschema": "https://example.com/schema",
                "partitionkey": "p",
                "sampled": True,
                "hops": 3,
            },
        )
    ]


@pytest.mark.parametrize("extra", [{}, {"partitionkey": "p"}], ids=["fast way", "careful way"])
def test_an_event_without_time_has_the_time_of_arrival(extra):
    """A missing or null time is the time of arrival, on both ways of decoding."""
    for members in ({}, {"time": None}):
        (event,) = one(**members, **extra)
        assert event.time_us == NOW_US


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        ("2026-01-01t00:00:00z", 1_767_225_600_000_000),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000_000),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600_123_456),
        ("2026-01-01T00:00:00.9999999Z", 1_767_225_600_999_999),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
    ],
)
def test_times_are_the_same_on_both_ways_of_decoding(text, time_us):
    """Finer digits than microseconds are cut off, never rounded, whichever way an event is decoded."""
    assert [each.time_us for each in (*one(time=text), *one(time=text, partitionkey="p"))] == [time_us, time_us]


WRONG = {
    "no specversion": ({"specversion": None}, "`specversion` is missing: not a CloudEvent"),
    "another specversion": ({"specversion": "0.3"}, '`specversion` is not "1.0"'),
    "specversion is a number": ({"specversion": 1.0}, '`specversion` is not "1.0"'),
    "no id": ({"id": None}, "`id` is missing"),
    "empty id": ({"id": ""}, "`id` is empty"),
    "id is a number": ({"id": 7}, "`id` is a number, not a string"),
    "no source": ({"source": None}, "`source` is missing"),
    "empty source": ({"source": ""}, "`source` is empty"),
    "no type": ({"type": None}, "`type` is missing"),
    "type is an array": ({"type": ["a"]}, "`type` is an array, not a string"),
    "empty subject": ({"subject": ""}, "`subject` is empty"),
    "subject is an object": ({"subject": {}}, "`subject` is an object, not a string"),
    "a control character": ({"type": "a\nb"}, "`type` holds a control character"),
    "a long id": ({"id": "x" * (ATTRIBUTE_CHARS_MAX + 1)}, "`id` is longer than 2048 characters"),
    "empty time": ({"time": ""}, "`time` is empty"),
    "time is a number": ({"time": 5}, "`time` is a number, not a string"),
    "time without a zone": (
        {"time": "2026-01-01T00:00:00"},
        "`time`: `2026-01-01T00:00:00` has no time zone; RFC 3339 asks for `Z` or an offset",
    ),
    "a day that is not": (
        {"time": "2026-02-31T00:00:00Z"},
        "`time`: `2026-02-31T00:00:00Z` is not an RFC 3339 time stamp: day is out of range for month",
    ),
    "before 1970": ({"time": "1969-12-31T23:59:59Z"}, "`time` is before 1970 or after 9999"),
    "content type": ({"datacontenttype": "json"}, "`datacontenttype` `json` is not a media type"),
    "empty schema": ({"dataschema": ""}, "`dataschema` is empty"),
    "extension in capitals": (
        {"partitionKey": "a"},
        "`partitionKey` is not the name of an attribute: only a-z and 0-9 are allowed",
    ),
    "extension is an object": (
        {"trace": {"id": 1}},
        "`trace` is an object; an extension attribute is a string, an integer or a boolean",
    ),
    "extension is a fraction": (
        {"share": 0.5},
        "`share` is a number; an extension attribute is a string, an integer or a boolean",
    ),
    "a large extension": ({"big": 2**31}, "`big` does not fit into 32 bits"),
    "a control character in an extension": ({"trace": "\x1b[2J"}, "`trace` holds a control character"),
    "a long name": ({"x" * 65: "a"}, f"`{'x' * 64}…` is longer than 64 characters"),
    "too many extensions": (
        {f"x{n}": n for n in range(EXTENSIONS_MAX + 1)},
        "more than 64 extension attributes",
    ),
    "data twice": ({"data": 1, "data_base64": "AA=="}, "both `data` and `data_base64` are given"),
    "base64 is a number": ({"data_base64": 1}, "`data_base64` is a number, not a string"),
    "base64 with a space": ({"data_base64": "A A="}, "`data_base64` is not base64: "),
    "base64 holds no JSON": (
        {"data_base64": base64.b64encode(b"{").decode(), "datacontenttype": "application/json"},
        "the data is not JSON: ",
    ),
    "base64 holds no text": (
        {"data_base64": base64.b64encode(b"\xff").decode(), "datacontenttype": "text/plain"},
        "the data is not UTF-8 text: invalid start byte at byte 0",
    ),
}


@pytest.mark.parametrize(("members", "reason"), WRONG.values(), ids=WRONG)
def test_each_way_to_be_wrong_has_its_reason(members, reason):
    """A message that is no CloudEvent comes back with a sentence that names the member at fault."""
    answer = one(**members)
    assert isinstance(answer, Malformed)
    assert answer.reason.startswith(reason)
    assert answer.reason == reason or reason.endswith(": ")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON: "),
        (b"hello", "not JSON: "),
        (b"{}", "`specversion` is missing"),
        (b"7", "a CloudEvent is a JSON object, not a number"),
        (b"null", "a CloudEvent is a JSON object, not null"),
        (b'{"a": 1e999}', "not JSON: Number out of range"),
        (b'{"id": "\xff"}', "not UTF-8: invalid start byte at byte 0"),
        (b'{"specversion":"1.0"} x', "not JSON: "),
        (b"\xef\xbb\xbf{}", "not JSON: "),
        (b"[" * 5_000, "nested too deeply"),
        (b'{"data":' + b"[" * 5_000, "nested too deeply"),
    ],
)
def test_what_is_not_a_json_object_is_named(raw, reason):
    """Bytes that are not JSON, not UTF-8 or too deep are reasons, never exceptions."""
    answer = decode_event(raw, arrived_us=NOW_US)
    assert isinstance(answer, Malformed)
    assert answer.reason.startswith(reason)


def test_base64_data_is_decoded_by_its_media_type():
    """JSON becomes a value, text becomes text, and what is neither stays base64 text."""
    encoded = base64.b64encode(b'{"a": 1}').decode()
    table = {
        "application/json": {"a": 1},
        "application/vnd.x+json; charset=utf-8": {"a": 1},
        "text/plain": '{"a": 1}',
        "application/xml": '{"a": 1}',
        "application/octet-stream": encoded,
        None: encoded,
    }
    assert {kind: one(data_base64=encoded, datacontenttype=kind)[0].data for kind in table} == table


def test_a_batch_gives_its_events_in_order():
    """A JSON batch is its events; an empty one is none."""
    raw = json.dumps([{**BASE, "id": str(n)} for n in range(3)]).encode()
    events = decode_event(b" \n" + raw, arrived_us=NOW_US)
    assert [each.id for each in events] == ["0", "1", "2"]
    assert decode_event(b"[]", arrived_us=NOW_US) == []


def test_one_bad_event_does_not_hide_the_others_of_its_batch():
    """`decode` gives the good ones and the reasons with places; `decode_event` gives the first reason alone."""
    raw = json.dumps([{**BASE, "id": "a"}, {**BASE, "id": ""}, 7, {**BASE, "id": "b", "tracep": "x"}]).encode()
    decoded = decode(raw, arrived_us=NOW_US)
    assert [each.id for each in decoded.events] == ["a", "b"]
    assert decoded.malformed == [
        Malformed("`id` is empty", 1),
        Malformed("a CloudEvent is a JSON object, not a number", 2),
    ]
    assert decode_event(raw, arrived_us=NOW_US) == Malformed("event 1 of the batch: `id` is empty")


@pytest.mark.parametrize("extra", [{}, {"partitionkey": "p"}], ids=["fast way", "careful way"])
def test_a_batch_has_a_limit(extra):
    """More events than the limit are refused as a whole, and the reason names both numbers."""
    raw = json.dumps([{**BASE, **extra}] * 4).encode()
    assert len(decode_event(raw, arrived_us=NOW_US, events_max=4)) == 4
    answer = decode_event(raw, arrived_us=NOW_US, events_max=3)
    assert answer == Malformed("4 events in one batch; at most 3 are taken")


def test_binary_mode_takes_attributes_beside_the_payload():
    """Attributes come from headers, data from the payload by its content type; no payload is no data."""
    attributes = {**BASE, "subject": "run-7", "traceparent": "00-ab"}
    event = decode_binary(attributes, b'{"loss": 1}', content_type="application/json", arrived_us=NOW_US)
    assert event == Event(
        id="e-1",
        source="/train",
        type="training.step",
        time_us=NOW_US,
        subject="run-7",
        data={"loss": 1},
        ext={"datacontenttype": "application/json", "traceparent": "00-ab"},
    )
    assert decode_binary(attributes, b"", content_type=None, arrived_us=NOW_US).data is None
    assert decode_binary(attributes, b"\x00", content_type="image/png", arrived_us=NOW_US).data == "AA=="


@pytest.mark.parametrize(
    ("attributes", "payload", "reason"),
    [
        ({}, b"", "`specversion` is missing: not a CloudEvent"),
        ({**BASE, "data": "x"}, b"", "`data` is not the name of an attribute"),
        ({**BASE, "id": "\udc80"}, b"", "`id` holds a control character"),
        (BASE, b"{", "the data is not JSON: Input data was truncated"),
        (BASE, b"[" * 5_000, "the data is nested too deeply"),
    ],
)
def test_binary_mode_says_what_is_wrong(attributes, payload, reason):
    """Bad attributes and bad data of binary mode have their reasons too."""
    assert decode_binary(attributes, payload, content_type=None, arrived_us=NOW_US) == Malformed(reason)


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize("bad", ["\x00", "\n", "\x1f", "\x7f", "\x85", "\ue000", "\U000e0001"])
def test_the_quick_way_leaves_unprintable_names_to_the_careful_one(name, bad):
    """Escaped, raw and beyond ASCII: a character that may be one of control is looked at by the way that knows them."""
    members = {**BASE, name: f"a{bad}b"}
    for ascii_only in (True, False):
        raw = json.dumps(members, ensure_ascii=ascii_only).encode()
        assert decode_plain(raw, NOW_US) is None
    assert decode_plain(json.dumps({**BASE, name: 'a é " b'}).encode(), NOW_US) is not None


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.builds(
    Event,
    id=TEXT,
    source=TEXT,
    type=TEXT,
    time_us=st.integers(0, 253_402_300_799_000_000),
    subject=st.none() | TEXT,
    data=JSON,
    ext=st.dictionaries(
        st.from_regex(r"\A[a-z0-9]{1,20}\Z").filter(
            lambda name: (
                name
                not in {
                    "specversion",
                    "id",
                    "source",
                    "type",
                    "time",
                    "subject",
                    "data",
                    "datacontenttype",
                    "dataschema",
                }
            )
        ),
        st.booleans() | st.integers(-(2**31), 2**31 - 1) | TEXT,
        max_size=3,
    ),
)


@settings(max_examples=150)
@given(EVENTS)
def test_encoding_and_decoding_give_the_same_event(event):
    """An encoded event decodes to an equal one, alone, in a batch and by the careful way."""
    raw = encode_event(event)
    assert decode_event(raw, arrived_us=NOW_US) == [event]
    assert decode_event(b"[" + raw + b"," + raw + b"]", arrived_us=NOW_US) == [event, event]
    assert event_from(msgspec.json.decode(raw), arrived_us=NOW_US) == event


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(["specversion", "id", "source", "type", "time", "subject", "data", "data_base64", "ext1", "X"]),
        JSON | st.sampled_from(["1.0", "2026-01-01T00:00:00Z", "AA=="]),
        max_size=8,
    ).map(lambda members: json.dumps({**BASE, **members}).encode()),
)
def test_no_bytes_raise_and_both_ways_of_decoding_agree(raw):
    """Any bytes give events or a reason, and the fast way never accepts or gives what the careful way does not."""
    answer = decode_event(raw, arrived_us=NOW_US)
    if isinstance(answer, Malformed):
        assert answer.reason
        return
    value = msgspec.json.decode(raw)
    wires = value if isinstance(value, list) else [value]
    assert answer == [event_from(wire, arrived_us=NOW_US) for wire in wires]
    plain = decode_plain(raw, NOW_US)
    assert plain is None or [plain] == answer
    for event in answer:
        assert event.id.encode()
        assert event.source.encode()
