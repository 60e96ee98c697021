"""Crash equivalence on a real mosquitto: whatever dies in between, the same incidents, and each effect once.

The trace holds 20,000 events and 76 incidents over every kind of window, join and timer; see tests/support/trace.py.
`make soak` runs the long form of each scenario.
"""

from random import Random

import pytest

from engine.clock import SECOND_US
from tests.support.siege import Siege
from tests.support.trace import EVENTS, KEYS_PER_KIND, KINDS
from tests.support.wait import until

ORDER_INDIFFERENT = (
    "plain",
    "count",
    "distinct",
    "max",
    "threshold",
    "all",
    "any",
    "corroborate",
    "absence",
    "for",
    "wait",
)
"""Kinds that give the same incident whatever the order of arrival; the others judge an event when it arrives."""


def test_without_faults_the_daemon_does_what_the_core_says(tmp_path):
    """Live over a broker equals the core in memory: incidents of every kind, their steps, and the effects."""
    with Siege(tmp_path) as siege:
        assert len(siege.trace.events) == EVENTS
        assert len(siege.expected[0]) == len(KINDS) * KEYS_PER_KIND
        siege.feed(siege.feed_timers(siege.trace.messages()))
        siege.judge()


def kill_at_random(siege: Siege, *, kills: int, seed: int) -> None:
    """kill -9 and start again at random counts of durable events and of effects."""
    random = Random(seed)
    siege.feed_behind(siege.feed_timers(siege.trace.messages()))
    steps, midway = len(siege.expected[1]), 0
    for at in sorted(random.random() for _ in range(kills)):
        if random.random() < 0.7:
            until(lambda at=at: siege.halon.events_committed() >= at * EVENTS, within_s=60, what="it gets on")
        else:
            until(
                lambda at=at: siege.target.count() >= at * steps * 0.5 or siege.halon.events_committed() == EVENTS,
                within_s=60,
                what="it acts",
            )
        siege.halon.kill()
        midway += siege.halon.events_committed() < EVENTS or siege.halon.unsettled() > 0
        siege.halon.start()
    assert midway >= kills // 2, "most kills hit something that was under way"
    siege.judge()


@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments(tmp_path, seed):
    """Five times kill -9: nothing acknowledged is lost, nothing is done twice."""
    with Siege(tmp_path, seed=seed) as siege:
        kill_at_random(siege, kills=5, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_killed_at_many_random_moments(tmp_path, seed):
    """Twenty times kill -9, with another trace each time."""
    with Siege(tmp_path, seed=seed) as siege:
        kill_at_random(siege, kills=20, seed=seed)


def test_every_message_delivered_twice(tmp_path):
    """Duplicates are known by source and id, within one batch and across them."""
    with Siege(tmp_path) as siege:
        rest = siege.feed_timers(siege.trace.messages(), times=2)
        half = len(rest) // 2
        siege.feed([each for message in rest[:half] for each in (message, message)])
        siege.feed(rest[half:])
        siege.feed(rest[half:])
        siege.judge()


def test_the_broker_killed_and_started_again(tmp_path):
    """mosquitto with every change saved: what it had acknowledged to senders arrives after its kill -9."""
    with Siege(tmp_path) as siege:
        rest = siege.feed_timers(siege.trace.messages())
        third = len(rest) // 3
        for part in (rest[:third], rest[third : 2 * third], rest[2 * third :]):
            siege.feed(part)
            siege.broker.saved()
            siege.broker.kill()
            siege.broker.start()
        siege.judge()


def test_events_out_of_order_within_the_lateness_allowed(tmp_path):
    """As the core in memory with that order; kinds that do not depend on it give the same incidents as in order."""
    with Siege(tmp_path) as siege:
        in_order = {(each.incident, each.key) for each in siege.expected[0]}
        order = siege.trace.disordered(59 * SECOND_US)
        siege.expect_order(order)
        assert order != siege.trace.events
        kinds = {f"of-{kind}" for kind in ORDER_INDIFFERENT}
        moved = {(each.incident, each.key) for each in siege.expected[0]}
        assert {each for each in moved if each[0] in kinds} == {each for each in in_order if each[0] in kinds}
        siege.feed(siege.feed_timers(siege.trace.messages(order)))
        siege.judge()
