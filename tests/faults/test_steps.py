"""kill -9 at each named step of the protocol: seen from outside, at the target, on the line to the broker, in the file.

After every kill the daemon starts again on the same state; the one step that the rule asks for must then be verified,
with one effect at the target, under one idempotency key.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.cable import Cable
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.target import MOMENTS, Target
from tests.support.wait import until

RULES = """
[signal.bad]
on = "run.bad"
by = {{ run = "event.subject" }}
detect = {{ method = "count", at_least = 3, within = "1m" }}

[rule.stop-it]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = {{ any = ["bad"] }}
playbook = "stop"

[playbook.stop]
contain = [{{ do = "http.request", method = "PUT", url = "{0}/stop", verify_url = "{0}/stop", timeout = "20s" }}]
"""
CI_MOMENTS = ("asked", "applied", "read-back")
"""The others are left to `make soak`."""


@contextmanager
def stage(tmp_path) -> Iterator[tuple[Daemon, Target, Mosquitto, Cable]]:
    with (
        Mosquitto(tmp_path) as broker,
        Target() as target,
        Cable(broker.port) as cable,
        Daemon(tmp_path, port=cable.port, rules=RULES.format(target.url), config=target.origin) as halon,
    ):
        yield halon, target, broker, cable


def say(broker: Mosquitto, *numbers: int) -> None:
    events = [
        {"specversion": "1.0", "id": f"e-{number}", "source": "s", "type": "run.bad", "subject": "run-7", "data": {}}
        for number in numbers
    ]
    publish(broker.port, [("halon/events/x", json.dumps(each).encode()) for each in events])


def stopped_once(halon: Daemon, target: Target, *, events: int = 3) -> None:
    until(lambda: halon.events_committed() == events, within_s=30, what=f"all events are durable\n{halon.tail()}")
    until(lambda: [state for _, state in halon.intents()] == ["verified"], within_s=60, what="the step is verified")
    assert dict(target.effects) == {"stop": 1}
    assert len(target.keys["stop"]) == 1
    assert halon.rows("SELECT count(*), min(state) FROM incidents") == [(1, "contained")]
    assert halon.run_command("audit", "verify").returncode == 0


def soak_but(kept: tuple[str, ...], names: tuple[str, ...]):
    return [pytest.param(name, marks=() if name in kept else pytest.mark.soak) for name in names]


@pytest.mark.parametrize("moment", soak_but(CI_MOMENTS, MOMENTS))
def test_killed_while_it_acts(tmp_path, moment):
    """Between looking and acting, around the effect and around reading it back: one effect, verified in the end."""
    with stage(tmp_path) as (halon, target, broker, _):
        passed = threading.Event()

        def watch(now: str, name: str) -> bool:
            if now != moment or passed.is_set():
                return False
            halon.kill()
            passed.set()
            return True

        target.watch = watch
        say(broker, 1, 2, 3)
        assert passed.wait(30), f"never came to {moment}\n{halon.tail()}"
        before = dict(halon.intents())
        assert len(before) == 1, "the intent was durable before anything was done"
        assert "verified" not in before.values()
        halon.start()
        stopped_once(halon, target)


def test_killed_before_the_commit(tmp_path):
    """What was received and not committed is delivered again by the broker."""
    with stage(tmp_path) as (halon, target, broker, _):
        say(broker, 1, 2)
        until(lambda: halon.events_committed() == 2, what="two events are durable")
        locker = sqlite3.connect(halon.database, isolation_level=None, timeout=10)
        try:
            locker.execute("BEGIN IMMEDIATE")
            say(broker, 3)
            until(lambda: halon.status().live.doors[0].events == 3, what="the third event is received")
            halon.kill()
        finally:
            locker.close()
        assert halon.events_committed() == 2
        assert halon.intents() == []
        halon.start()
        stopped_once(halon, target)


def test_killed_after_the_commit_and_before_the_acknowledgement(tmp_path):
    """What was committed and not acknowledged comes again, and is known: the window is not counted twice."""
    with stage(tmp_path) as (halon, target, broker, cable):
        say(broker, 1)
        until(lambda: halon.events_committed() == 1, what="the first event is durable")
        cable.hold.set()  # from here on no acknowledgement reaches the broker
        say(broker, 2)
        until(lambda: halon.events_committed() == 2, what="the second event is durable")
        halon.kill()
        cable.cut()
        cable.hold.clear()
        halon.start()
        until(lambda: halon.status().live.doors[0].events >= 1, within_s=30, what="the second event came again")
        assert halon.events_committed() == 2
        assert halon.intents() == [], "two events, one of them twice, are not three"
        say(broker, 3)
        stopped_once(halon, target)


@pytest.mark.soak
def test_killed_after_the_acknowledgement_and_before_the_first_look(tmp_path):
    """An intent that is durable is carried out though no message comes again."""
    with stage(tmp_path) as (halon, target, broker, _):
        halon.halon("pause")
        say(broker, 1, 2, 3)
        until(lambda: len(halon.intents()) == 1, what="the intent is durable")
        until(lambda: halon.status().live.in_flight == 0, what="all is acknowledged")
        assert not target.order
        halon.restart()
        halon.halon("resume")
        stopped_once(halon, target)
