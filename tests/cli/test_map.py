"""`halon map`: what a message becomes, as the daemon would have it."""

import json

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cloudevents import decode_event
from engine.intake.producers.table import PRODUCERS
from tests.support.samples import SAMPLES, producer_of

CONFIG = """
[[mqtt]]
name = "site"
topics = [
  { filter = "gpu/+", format = "dcgm", may = { types = ["resource.*"] } },
  { filter = "own/+", format = "json", map = { type = "'own.' + topic[1]", time = "payload.at" } },
]

[http]
senders = [{ name = "gateway", format = "litellm", token_file = "/nowhere" }]
"""


def halon(*args, stdin=None):
    return CliRunner().invoke(main, ["map", *map(str, args)], input=stdin, prog_name="halon")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "config.toml"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_shown_as_its_events(name, tmp_path):
    """The lines are the recorded events that `halon replay` reads."""
    sample = SAMPLES[name]
    (tmp_path / "message").write_text(sample.body)
    headers = [part for key, value in sample.headers.items() for part in ("--header", f"{key}: {value}")]
    kind = producer_of(name).name
    result = halon(kind, tmp_path / "message", "--content-type", sample.content_type, *headers)
    assert result.exit_code == 0, result.output
    events = [decode_event(line.encode(), arrived_us=0)[0] for line in result.stdout.splitlines()]
    assert [(each.type, each.subject, each.data) for each in events] == [
        (each.type, each.subject, each.data) for each in sample.expected()
    ]


def test_what_is_no_event_is_said_beside_what_is(tmp_path):
    """Events on standard output, reasons on standard error, exit code 1."""
    result = halon("falco", "-", stdin='{"rule": "r", "priority": "Notice"}\n{"rule": 7}\n')
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "no event: `line 2`: not an alert of Falco" in result.stderr


def test_the_formats_are_listed():
    """With what they are of and what they give; JSON has all that is known of them."""
    assert all(name in halon().output for name in PRODUCERS)
    views = json.loads(halon("--json").output)
    assert [each["format"] for each in views] == list(PRODUCERS)
    assert all(each["description"] and each["connect"] for each in views)


def test_an_entry_of_the_config_is_tried_with_its_map_and_what_it_may_say(config):
    """A topic or a sender of the config decides as it would in the daemon."""
    page = SAMPLES["dcgm"].body
    result = halon("--topic", "gpu/a", "-", "--config", config, stdin=page)
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()] == ["resource.sample"] * 2
    assert json.loads(result.stdout.splitlines()[0])["source"] == "/site/gpu/a"
    own = halon("--topic", "own/x", "-", "--config", config, stdin='{"at": 5}')
    assert json.loads(own.stdout)["type"] == "own.x"
    gateway = halon("--sender", "gateway", "-", "--config", config, stdin=SAMPLES["litellm"].body)
    assert json.loads(gateway.stdout.splitlines()[0])["source"] == "/http/gateway"
    nowhere = halon("--topic", "zz", "-", "--config", config, stdin="{}")
    assert nowhere.exit_code == 1
    assert "no topic of the config matches" in nowhere.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("litelm", "-"), "did you mean `litellm`?"),
        (("json", "-"), "name it with --topic or --sender"),
        (("litellm",), "name the FILE"),
        (("litellm", "/nowhere/at/all"), "can't read /nowhere/at/all"),
        (("litellm", "-", "--header", "x"), "`x` is no header"),
        (("--sender", "gatway", "-"), "did you mean `gateway`?"),
        (("--sender", "gateway", "litellm", "-"), "not both"),
        (("--topic", "gpu/a", "--broker", "x", "-"), "no broker `x`"),
    ],
)
def test_bad_usage_says_what_to_do(args, said, config):
    """Exit code 2 and a sentence."""
    result = halon(*args, "--config", config, stdin="{}")
    assert result.exit_code == 2
    assert said in result.output
