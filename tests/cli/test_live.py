"""`halon replay --live`: which events at which times reach the daemon, over a real control socket."""

import json
import re

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.live import Pace, feed_live
from engine.cli.setup import Failure
from engine.clock import SECOND_US, parse_time_us
from engine.cloudevents import decode_event
from engine.operate.client import Client
from engine.replay import Recording
from tests.support.steered import serving
from tests.support.stored import make_database

NOW_US = 1_800_000_000 * SECOND_US


class JumpingClock:
    """Whoever sleeps on it is at once where it wanted to be."""

    def __init__(self):
        self._passed_us = 0
        self.slept = []

    def now_us(self):
        return NOW_US + self._passed_us

    def monotonic_s(self):
        return self._passed_us / SECOND_US

    async def sleep_s(self, seconds):
        self.slept.append(round(seconds, 3))
        self._passed_us += round(seconds * SECOND_US)


def line(number, second):
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "gateway",
            "type": "inference.request",
            "time": f"2026-01-01T00:00:{second:06.3f}Z",
            "data": {"n": number},
        }
    )


@pytest.fixture
def place(tmp_path):
    """A folder with a config, the database that it names, and a recording with one line that is no event."""
    (tmp_path / "state").mkdir()
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n')
    make_database(tmp_path / "state" / "halon.db")
    lines = [line(0, 0), line(1, 0.05), line(2, 10), "{nonsense", line(3, 9.5), line(4, 20)]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def served(place):
    return serving(place / "state" / "control.sock", place / "state" / "halon.db")


def fed(place, pace):
    """What reached the daemon, part by part, and how long was waited between."""
    clock = JumpingClock()
    with served(place) as steering, open(place / "events.jsonl", "rb") as file:
        client, recording = Client(place / "state" / "control.sock"), Recording(file)
        with pytest.raises(Failure, match="1 line"):
            feed_live(client, recording, name="events.jsonl", pace=pace, as_json=True, clock=clock)
    parts = [[decode_event(json.dumps(each).encode(), arrived_us=0)[0] for each in act[2]] for act in steering.acts]
    handed = [act[3] for act in steering.acts]
    assert [each.first for each in handed] == [True] + [False] * (len(handed) - 1)
    assert [each.last for each in handed] == [False] * (len(handed) - 1) + [True]
    assert len({each.run for each in handed}) == 1
    return parts, clock.slept


def test_events_come_at_their_own_pace_with_new_ids_and_the_time_of_now(place):
    """What is due within a tenth of a second goes together; an event keeps its distance to the others."""
    parts, slept = fed(place, Pace(enforce=True))
    assert [[each.ext["replayof"] for each in part] for part in parts] == [["e0", "e1"], ["e2", "e3"], ["e4"]]
    assert slept == [10.0, 10.0]
    events = [each for part in parts for each in part]
    assert [round((each.time_us - NOW_US) / SECOND_US, 3) for each in events] == [0, 0.05, 10, 9.5, 20]
    assert all(re.fullmatch(rf"replay-{each.ext['replayrun']}-{each.ext['replayof']}", each.id) for each in events)
    assert [each.data for each in events] == [{"n": number} for number in range(5)]


def test_twice_as_fast_is_half_as_long(place):
    """Pauses and the distances of times shrink alike."""
    parts, slept = fed(place, Pace(speed=2.0, enforce=True))
    assert slept == [5.0, 5.0]
    assert round((parts[-1][-1].time_us - NOW_US) / SECOND_US, 3) == 10.0


def test_as_fast_as_it_goes_waits_for_nothing(place):
    """One part, at the time of now."""
    parts, slept = fed(place, Pace(speed=None, enforce=True))
    assert (len(parts), slept) == (1, [])
    assert {each.time_us for each in parts[0]} == {NOW_US}


def test_what_is_kept_is_as_it_was_recorded(place):
    """Ids and times are the recorded ones, so that the daemon knows what it has seen."""
    parts, _ = fed(place, Pace(speed=None, keep=True, enforce=True))
    assert [each.id for each in parts[0]] == ["e0", "e1", "e2", "e3", "e4"]
    assert parts[0][1].time_us == parse_time_us("2026-01-01T00:00:00.050Z")


def halon(place, *args):
    return CliRunner().invoke(
        main,
        ["replay", str(place / "events.jsonl"), "--config", str(place / "config.toml"), *args],
        prog_name="halon",
    )


def test_a_daemon_that_enforces_refuses_until_that_is_meant(place):
    """The refusal says why and how far it came; with --enforce the same is taken."""
    with served(place) as steering:
        refused = halon(place, "--live", "--speed", "max")
        taken = halon(place, "--live", "--speed", "max", "--enforce", "--json")
    assert refused.exit_code == 1
    assert "the daemon enforces" in refused.output
    assert "0 events taken before that" in refused.output
    report = json.loads(taken.stdout)
    assert (report["events"], report["new"], report["duplicates"], report["faults"]) == (5, 5, 0, 1)
    assert "line 4 is left out: not JSON" in taken.stderr
    assert taken.exit_code == 1
    assert [act[0] for act in steering.acts] == ["hand in", "hand in"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--live", "--rules", "."], "leave --rules, --against and --watch"),
        (["--keep"], "go with --live"),
        (["--enforce"], "go with --live"),
        (["--speed", "2"], "go with --live"),
        (["--live", "--speed", "0"], "neither `max` nor a number"),
        (["--live", "--speed", "nan"], "neither `max` nor a number"),
    ],
)
def test_options_that_do_not_fit_are_a_usage_error(place, args, says):
    """Exit code 2, before anything is sent."""
    result = halon(place, *args)
    assert result.exit_code == 2
    assert says in re.sub(r"\s+", " ", result.output)


def test_without_a_daemon_nothing_is_fed(place):
    """It says who does not answer."""
    result = halon(place, "--live")
    assert result.exit_code == 1
    assert "no daemon answers" in result.output
