"""docs/events.md: every field that a shipped rule reads stands there, and the examples are events of their type."""

import json
import re

import pytest

from engine.cloudevents import decode
from tests.support.shipped import ROOT, RULES, shipped_rules

PAGE = (ROOT / "docs/events.md").read_text(encoding="utf-8")
SECTIONS = {
    name: body
    for heading, body in re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for name in heading.split(", ")
}
TARGETS = set(
    re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", PAGE.split("## Training", 1)[0], re.MULTILINE)))
)
_READ = re.compile(r"event\.data\.(\w+)")


def fields(name):
    """The fields of a type: those of its table, those that any event may have, and the request's in a response."""
    rows = re.findall(r"^\| ([^|]*) \|", SECTIONS[name], re.MULTILINE)
    own = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
    return own | TARGETS | (fields("inference.request") if name == "inference.response" else set())


def test_the_page_says_where_to_act():
    """The fields that name targets were read from the page."""
    assert {"pid", "key_id", "client", "endpoint_address", "registered_model"} <= TARGETS


@pytest.mark.parametrize("signal", shipped_rules().signals.values(), ids=lambda signal: signal.id)
def test_every_field_that_a_signal_reads_is_documented(signal):
    """Whoever sends what the page says feeds the signal."""
    texts = [each.source for each in (signal.where, signal.value, *(by for _, by in signal.by)) if each is not None]
    texts += [signal.detect.of.source] if signal.detect is not None and signal.detect.of is not None else []
    read = {field for text in texts for field in _READ.findall(text)}
    for name in signal.on.exact - {"halon.source.violation"}:
        others = {field for other in signal.on.exact - {name} for field in fields(other)}
        assert read <= fields(name) | others, f"{name}: {sorted(read - fields(name))}"


def test_every_field_that_a_step_reads_is_documented():
    """Whoever gives the names of the page gives the playbooks their targets."""
    known = TARGETS | {field for name in SECTIONS if name != "halon.*" for field in fields(name)}
    for path in RULES.rglob("*.toml"):
        if not path.name.endswith(".test.toml"):
            read = set(_READ.findall(path.read_text(encoding="utf-8")))
            assert read <= known, f"{path.name}: {sorted(read - known)}"


@pytest.mark.parametrize("name", [name for name in SECTIONS if name != "halon.*"])
def test_each_example_is_an_event_of_fields_that_are_known(name):
    """Each section has one, or shares it with its twin; it is CloudEvents but for id and source."""
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", SECTIONS[name], re.DOTALL)]
    assert examples
    for example in examples:
        whole = {"specversion": "1.0", "id": "1", "source": "/s", **example}
        assert decode(json.dumps(whole).encode(), arrived_us=0).events
        assert example["type"] in SECTIONS
        assert set(example["data"]) <= fields(example["type"]), sorted(set(example["data"]) - fields(example["type"]))
