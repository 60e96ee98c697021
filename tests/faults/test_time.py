"""Times that lie, and silence that is none: events of 1970, of 2100 and without a time; a daemon that was away."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.clock import SECOND_US, SystemClock, format_time
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.setclock import SetClock
from tests.support.wait import until

SILENCE_S = 8
RULES = f"""
[signal.silent]
on = "run.beat"
by = {{ run = "event.subject" }}
detect = {{ method = "absence", for = "{SILENCE_S}s" }}

[signal.bad]
on = "run.bad"
by = {{ run = "event.subject" }}
detect = {{ method = "count", at_least = 2, within = "1m" }}

[rule.silent]
incident = "availability"
severity = "high"
by       = ["run"]
when     = {{ any = ["silent"] }}

[rule.bad]
incident = "data-poisoning"
severity = "high"
by       = ["run"]
when     = {{ any = ["bad"] }}
"""


def event(number: str, kind: str, run: str, time: str | None = None) -> bytes:
    made = {"specversion": "1.0", "id": number, "source": "s", "type": kind, "subject": run, "data": {}}
    return json.dumps(made if time is None else {**made, "time": time}).encode()


@contextmanager
def beating(broker: Mosquitto, run: str) -> Iterator[None]:
    """A sender that gives a sign of life twice a second."""
    ended = threading.Event()

    def work() -> None:
        number = 0
        while not ended.wait(0.5):
            number += 1
            now = format_time(SystemClock().now_us())
            publish(broker.port, [("halon/events/x", event(f"{run}-{number}", "run.beat", run, now))])

    thread = threading.Thread(target=work, name="beats")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def opened(halon: Daemon) -> set[tuple[str, str]]:
    return {(kind, dict(json.loads(key))["run"]) for kind, key in halon.rows("SELECT incident, key FROM incidents")}


def test_a_daemon_that_was_away_does_not_take_its_own_silence_for_others(tmp_path):
    """Killed for longer than the silence that a rule asks for: what the broker kept is heard before timers fire."""
    with (
        Mosquitto(tmp_path) as broker,
        Daemon(tmp_path, port=broker.port, rules=RULES) as halon,
    ):
        publish(broker.port, [("halon/events/x", event("gone-1", "run.beat", "gone"))])
        with beating(broker, "alive"):
            until(lambda: halon.events_committed() >= 3, what="beats arrive")
            halon.kill()
            since_us = SystemClock().now_us()
            until(
                lambda: SystemClock().now_us() > since_us + (SILENCE_S + 2) * SECOND_US,
                within_s=30,
                what="it was away for longer than the silence",
            )
            halon.start()
            until(lambda: ("availability", "gone") in opened(halon), within_s=60, what="the real silence is told")
            assert opened(halon) == {("availability", "gone")}


def test_times_of_1970_and_2100_and_none_at_all(tmp_path):
    """Each is an event like any other: no fault, no dead letter; the future is clamped and does not blind the key."""
    with (
        Mosquitto(tmp_path) as broker,
        Daemon(tmp_path, port=broker.port, rules=RULES) as halon,
    ):
        bad = [
            event("a1", "run.bad", "past", "1970-01-01T00:00:00Z"),
            event("a2", "run.bad", "past", "1970-01-01T00:00:01Z"),
            event("b1", "run.bad", "future", "2100-01-01T00:00:00Z"),
            event("b2", "run.bad", "future"),
            event("c1", "run.bad", "none"),
            event("c2", "run.bad", "none"),
            event("d1", "run.bad", "apart", "1970-01-01T00:00:00Z"),
            event("d2", "run.bad", "apart"),
        ]
        publish(broker.port, [("halon/events/x", each) for each in bad])
        until(lambda: halon.events_committed() == len(bad), what="all are durable")
        assert opened(halon) == {("data-poisoning", run) for run in ("past", "future", "none")}
        status = halon.status()
        assert (status.stored.deadletters, status.stored.faults) == (0, ())
        # The clock was not moved to 2100: a silence of seconds is still told.
        publish(broker.port, [("halon/events/x", event("e1", "run.beat", "beats"))])
        until(lambda: ("availability", "beats") in opened(halon), within_s=60, what="silence is told in its time")


JUMP_RULES = (
    RULES
    + """
[rule.freeze]
incident = "model-extraction"
severity = "high"
by       = ["run"]
when     = { any = ["held"] }
playbook = "freeze"

[signal.held]
on = "run.held"
by = { run = "event.subject" }

[playbook.freeze]
contain = [{ do = "process.freeze", pid = "${event.data.pid}", hold = "10m" }]
"""
)


def timeless(number: str, kind: str, run: str, **data: object) -> tuple[str, bytes]:
    """An event without a time: it happens when it arrives, by the daemon's clock."""
    made = {"specversion": "1.0", "id": number, "source": "s", "type": kind, "subject": run, "data": data}
    return "halon/events/x", json.dumps(made).encode()


@contextmanager
def alive(broker: Mosquitto, run: str) -> Iterator[None]:
    """A sender that gives a sign of life twice a second and names no time."""
    ended = threading.Event()

    def work() -> None:
        number = 0
        while not ended.wait(0.5):
            number += 1
            publish(broker.port, [timeless(f"{run}-{number}", "run.beat", run)])

    thread = threading.Thread(target=work, name="beats")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def passes(halon: Daemon, seconds: float) -> None:
    """So much time passes, by a clock that nobody sets."""
    end_s = SystemClock().monotonic_s() + seconds
    until(lambda: SystemClock().monotonic_s() > end_s, within_s=seconds + 10, what="time passes")
    assert halon.runs, halon.tail()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_by_an_hour(tmp_path, hours):
    """It ends no lease, tells no silence that was none, and afterwards silence and containment come in their time."""
    clock = SetClock(tmp_path)
    with (
        subprocess.Popen(["sleep", "600"]) as held,
        Mosquitto(tmp_path) as broker,
        # libfaketime does not know `time.sleep`, which reading the flight recorder calls: it is left out.
        Daemon(
            tmp_path,
            port=broker.port,
            rules=JUMP_RULES,
            environment=clock.environment,
            config="[recorder]\nevents_max = 0\n",
        ) as halon,
    ):
        try:
            publish(broker.port, [timeless("h", "run.held", "held", pid=held.pid)])
            until(lambda: halon.rows("SELECT 1 FROM leases WHERE state = 'in-force'"), within_s=30, what="it is frozen")
            [(expires_us,)] = halon.rows("SELECT expires_us FROM leases")
            with alive(broker, "alive"):
                until(lambda: halon.events_committed() >= 4, what="beats arrive")
                clock.set(hours * 3_600)
                until(lambda: "the clock was set" in halon.log.read_text(), within_s=20, what="the jump is seen")
                passes(halon, SILENCE_S + 4)
                assert not [each for each in opened(halon) if each[0] == "availability"], "nobody was silent"
                assert halon.rows("SELECT state FROM leases") == [("in-force",)]
                [(later_us,)] = halon.rows("SELECT expires_us FROM leases")
                assert abs(later_us - expires_us - hours * 3_600 * SECOND_US) < 10 * SECOND_US
            until(lambda: ("availability", "alive") in opened(halon), within_s=60, what="real silence is told")
            publish(broker.port, [timeless("b1", "run.bad", "run-9"), timeless("b2", "run.bad", "run-9")])
            until(lambda: ("data-poisoning", "run-9") in opened(halon), within_s=30, what="windows count")
            assert halon.run_command("audit", "verify").returncode == 0
        finally:
            held.kill()
