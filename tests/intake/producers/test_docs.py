"""docs/producers.md is what the classes and samples say, and what it shows works."""

import json
import re

import pytest

from engine.config import Config, SenderConfig
from engine.configfile import check_config
from engine.intake.contract import Received
from engine.intake.formats import Formats
from engine.intake.producers.table import PRODUCERS
from engine.tomlfile import TomlFile, parse_toml
from scripts import gen_producers


def test_the_page_is_current():
    """It is generated, never edited."""
    page = gen_producers.PAGE.read_text(encoding="utf-8")
    assert page == gen_producers.render(), "run `make docs` and commit docs/producers.md"


TOML = re.findall(r"^```toml\n(.*?)^```", gen_producers.render(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", TOML)
def test_each_piece_of_config_is_one(text):
    """What is shown to be copied is taken, with a secret where it lacks one."""
    whole = text if "[[" in text else f"[[mqtt]]\n{text}"
    file = parse_toml(whole.encode(), "config.toml")
    assert isinstance(file, TomlFile)
    config, found = check_config(file)
    assert found == []
    assert isinstance(config, Config)
    assert all(isinstance(each, SenderConfig) for each in config.http.senders)


def test_each_format_has_its_section_with_a_message_and_its_events():
    """In the order of the table, each with how it is connected."""
    page = gen_producers.render()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[3:]
    assert [each.splitlines()[0] for each in sections] == list(PRODUCERS)
    for each in sections:
        assert "\nA message (" in each
        assert re.search(r"^becomes", each, re.MULTILINE)


def test_the_page_of_events_says_who_sends_what():
    """Its table of types and formats is what the classes declare; types of a producer's own are not on that page."""
    page = (gen_producers.ROOT / "docs/events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[a-z0-9.]+`,? ?)+) \| ((?:`[a-z-]+`,? ?)+) \|$", page, re.MULTILINE)
    shown = {
        (event_type, name)
        for types, names in rows
        for event_type in re.findall(r"`([^`]+)`", types)
        for name in re.findall(r"`([^`]+)`", names)
        if "." in event_type
    }
    assert shown == {(one, name) for name, each in PRODUCERS.items() for one in each.types if not one.endswith(".*")}


@pytest.mark.parametrize(
    ("at", "topic", "message", "found"),
    [
        (
            "sensors/+/metrics",
            "sensors/gpu-3/metrics",
            {"ts": 1_772_450_000_500, "temp": 61, "cpu": 50},
            [("resource.sample", "gpu-3", 1_772_450_000_500_000, {"host": "gpu-3", "temperature_c": 61, "cpu": 0.5})],
        ),
        (
            "batch/+",
            "batch/a",
            {"host": "chat", "metrics": [{"timestamp": 1_772_450_000, "fields": {"queue": 3}}]},
            [("endpoint.health", "chat", 1_772_450_000_000_000, {"queue": 3})],
        ),
    ],
)
def test_the_maps_that_are_shown_map(at, topic, message, found):
    """On a message as such programs send it, numbers whole or not."""
    [text] = [each for each in TOML if f'"{at}"' in each]
    config, _ = check_config(parse_toml(f"[[mqtt]]\n{text}".encode(), "config.toml"))
    raw = json.dumps(message).encode()
    received = Received("local", 0, topic, raw, 1, len(raw))
    events = Formats(config).decode(received)
    assert [(each.type, each.subject, each.time_us, each.data) for each in events] == found
