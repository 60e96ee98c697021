"""What every producer of the table promises, held against samples that follow the real formats field by field."""

import json
import re
from copy import deepcopy
from pathlib import Path

import msgspec
import pytest

from engine.cloudevents import Malformed, decode_event, encode_event
from engine.config import Format
from engine.intake.producers.contract import Message, produce
from engine.intake.producers.table import PRODUCERS
from engine.model import Event
from tests.support.samples import ARRIVED_US, SAMPLES, SOURCE, converted, producer_of

ROOT = Path(__file__).resolve().parents[3]
JSON_SAMPLES = [name for name, each in SAMPLES.items() if each.body.lstrip().startswith(("{", "["))]
ONE_DOCUMENT = [name for name in JSON_SAMPLES if "\n{" not in SAMPLES[name].body.strip()]
# Their messages hold no time, or the time of arrival is the one that counts.
TIMED_BY_ARRIVAL = {"alertmanager", "dcgm", "dcgm-mig", "sagemaker-monitor-bias", "sagemaker-monitor-quality"}
WITHOUT_OWN_TIME = {"dcgm", "dcgm-mig"}
# Objects whose members are handed on as they are.
OPEN_OBJECTS = {"output_fields"}
WILD = [None, True, -1, 1.5, 10**25, "", "a\x07\ud800"[:2], "x" * 5_000, [], [None], {}, {"a": None}]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_becomes_the_events_that_stand_beside_it(sample):
    """Each message of a real format gives these events, and nothing of it is malformed."""
    decoded = converted(sample)
    assert decoded.malformed == []
    assert decoded.events == SAMPLES[sample].expected()
    assert decoded.events


@pytest.mark.parametrize("name", PRODUCERS)
def test_a_producer_has_samples_of_a_named_version(name):
    """At least one, each saying which project and version its format is of."""
    samples = [each for sample, each in SAMPLES.items() if producer_of(sample).name == name]
    assert samples, f"add a sample of `{name}`"
    for each in samples:
        assert re.search(r"\d|Amazon SageMaker", each.of), "say which version"


def test_the_config_knows_the_formats_of_the_table():
    """`format` takes CloudEvents, plain JSON and each producer."""
    assert set(Format.__args__) == {"cloudevents", "json", *PRODUCERS}


@pytest.mark.parametrize("name", PRODUCERS)
def test_a_producer_says_what_it_gives_and_how_it_is_connected(name):
    """Its types are those its samples give, and the text shows something to copy."""
    producer = PRODUCERS[name]
    given = {event.type for sample in SAMPLES if producer_of(sample) is producer for event in converted(sample).events}
    for declared in producer.types:
        assert any(each == declared or each.startswith(declared.removesuffix("*")) for each in given), declared
    for each in given:
        assert any(each == one or (one.endswith(".*") and each.startswith(one[:-1])) for one in producer.types), each
    assert producer.__doc__
    assert "/events/" in producer.connect or "[[mqtt]]" in producer.connect
    assert any(proof in producer.connect for proof in ("TOKEN", "token", "signature = {"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_second_delivery_gives_the_same_events(sample):
    """Under the same ids, whenever it comes; but for what has neither a time nor an id of its own."""
    again = converted(sample, arrived_us=ARRIVED_US + 7_000_000)
    first = converted(sample)
    if sample in WITHOUT_OWN_TIME:
        assert {each.id for each in first.events}.isdisjoint(each.id for each in again.events)
    else:
        assert [each.id for each in first.events] == [each.id for each in again.events]


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_time_of_an_event_is_that_of_the_message(sample):
    """The time it happened, and that of arrival only where the message does not say."""
    at_arrival = {each.time_us == ARRIVED_US for each in converted(sample).events}
    assert at_arrival == {sample in TIMED_BY_ARRIVAL}


@pytest.mark.parametrize("sample", SAMPLES)
def test_events_are_whole_and_hold_no_nothings(sample):
    """Each survives being written and read, and a field that is not known is left out rather than null."""

    def nothings(value):
        match value:
            case None:
                return True
            case dict():
                return any(nothings(each) for each in value.values())
            case list():
                return any(nothings(each) for each in value)
        return False

    for event in converted(sample).events:
        assert decode_event(encode_event(event), arrived_us=0) == [event]
        assert not nothings(event.data)
        assert event.source.startswith((SOURCE, "http"))


@pytest.mark.parametrize("sample", ONE_DOCUMENT)
def test_fields_of_later_versions_are_passed_by(sample):
    """An unknown member anywhere changes nothing of what the events say."""

    def grown(value, name=""):
        match value:
            case dict() if name in OPEN_OBJECTS or value.get("key") == "stage":
                return value
            case dict():
                return {**{key: grown(each, key) for key, each in value.items()}, "zz_new": {"deep": [1]}}
            case list():
                return [grown(each) for each in value]
        return value

    body = json.dumps(grown(json.loads(SAMPLES[sample].body))).encode()
    said = [(each.type, each.subject, each.time_us, each.data) for each in converted(sample, body=body).events]
    assert said == [(each.type, each.subject, each.time_us, each.data) for each in converted(sample).events]


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value[:3]):
            yield from places(each, (*path, index))


@pytest.mark.parametrize("sample", ONE_DOCUMENT)
def test_a_value_of_another_kind_anywhere_is_survived(sample):
    """Every member in turn is removed or made into something else: events or reasons come, never an exception."""
    whole = json.loads(SAMPLES[sample].body)
    tried = 0
    for path in places(whole):
        for wild in WILD:
            body = changed(whole, path, wild)
            decoded = converted(sample, body=json.dumps(body).encode())
            tried += 1
            for each in decoded.events:
                assert decode_event(encode_event(each), arrived_us=0) == [each], path
            for each in decoded.malformed:
                assert each.reason
    assert tried > 50


def changed(whole, path, value):
    if not path:
        return value
    made = deepcopy(whole)
    at = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return made


NO_MESSAGES = [
    b"",
    b"\xff",
    b'{"rule": "\xff"}',
    b"[" * 5_000,
    b"null",
    b"{}",
    b"[{}]",
    b"7",
    b'"x"',
    b"{}\n{}\n",
    b"a 1",
]


@pytest.mark.parametrize("name", PRODUCERS)
@pytest.mark.parametrize("raw", NO_MESSAGES)
def test_what_is_no_message_of_it_is_malformed_with_a_reason(name, raw):
    """Bytes of another shape are reasons that say what was expected, never exceptions."""
    decoded = produce(PRODUCERS[name], Message(body=raw, source=SOURCE, arrived_us=ARRIVED_US), events_max=100)
    assert decoded.events == []
    assert decoded.malformed
    assert all(each.reason for each in decoded.malformed)


@pytest.mark.parametrize("sample", [name for name in SAMPLES if len(SAMPLES[name].expected()) > 1])
def test_a_message_of_too_many_parts_is_refused_as_a_whole(sample):
    """More than `intake.payload_events_max` gives one reason and no events."""
    count = len(SAMPLES[sample].expected())
    assert converted(sample, events_max=count).events
    assert converted(sample, events_max=count - 1).malformed == [
        Malformed(f"more than {count - 1} events in one message")
    ]
    assert converted(sample, events_max=count - 1).events == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_names_are_bounded(sample):
    """A name that an attacker makes long is cut, so that the event is not lost for it."""
    body = re.sub(r'(?<=: ")([A-Za-z][\w/ -]{2,30})(?=")', lambda found: found[1] + "x" * 3_000, SAMPLES[sample].body)
    for event in converted(sample, body=body.encode()).events:
        assert len(event.subject or "") <= 800
        assert len(event.id) <= 300


VOCABULARY = (ROOT / "docs/events.md").read_text(encoding="utf-8")
KINDS = {
    "text": str,
    "integer": int,
    "number": (int, float),
    "share": (int, float),
    "bool": bool,
    "list of numbers": list,
    "table of texts": dict,
}


def vocabulary():
    """Type to its fields, each with the kinds of value it may have and whether it must be there."""
    found: dict[str, dict[str, tuple[tuple, bool]]] = {}
    for heading, body in re.findall(r"^### ([a-z0-9., *]+)\n(.*?)(?=^##|\Z)", VOCABULARY, re.MULTILINE | re.DOTALL):
        fields: dict[str, tuple[tuple, bool]] = {}
        for names, kinds in re.findall(r"^\| ((?:\*{0,2}`\w+`\*{0,2},? ?)+) \| ([a-z, ]*) \|", body, re.MULTILINE):
            listed = re.findall(r"(\*\*)?`(\w+)`", names)
            words = [KINDS[word] for word in kinds.split(", ") if word]
            for index, (bold, name) in enumerate(listed):
                one = (words[index],) if len(words) == len(listed) else tuple(words)
                fields[name] = one, bool(bold)
        for event_type in heading.split(", "):
            found[event_type] = fields
    return found


@pytest.mark.parametrize("sample", SAMPLES)
def test_events_speak_the_vocabulary_of_the_documentation(sample):
    """Each type stands in docs/events.md, or is the producer's own; fields are of the kind that is given there."""
    known = vocabulary()
    for event in converted(sample).events:
        if event.type.startswith(f"{producer_of(sample).name}."):
            continue
        fields = known[event.type]
        assert isinstance(event.data, dict)
        shared = {**fields, **(known["inference.request"] if event.type == "inference.response" else {})}
        for name, value in event.data.items():
            if name in shared:
                kinds = shared[name][0]
                assert not kinds or any(fits(value, kind) for kind in kinds), (event.type, name, value)
        if event.type in ("k8s.audit", "k8s.event"):  # one table for both
            assert "verb" in event.data or "reason" in event.data
        else:
            assert {name for name, (_, must) in fields.items() if must} <= set(event.data)


def fits(value, kind):
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def test_the_vocabulary_is_read_from_the_page():
    """The check above looks at something: types, kinds and fields that must be there."""
    known = vocabulary()
    assert known["model.metric"]["name"] == ((str,), True)
    assert known["inference.request"]["features"] == ((list,), False)
    assert len(known) > 15


def test_an_event_is_an_event():
    """What producers give are events of the model."""
    assert all(isinstance(each, Event) for sample in SAMPLES for each in converted(sample).events)
    assert msgspec.json.encode([each.data for each in converted("otlp").events])
