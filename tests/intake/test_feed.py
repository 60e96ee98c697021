"""engine.intake.feed: what operators hand in is durable when they hear of it, and is bounded."""

import asyncio

from engine.clock import VirtualClock
from engine.intake import feed as feeding
from engine.intake.contract import Inbox
from engine.intake.feed import Fed, Feed, NotFed
from engine.intake.permits import VIOLATION
from engine.model import Event


def event(number, kind="x"):
    return Event(id=f"e{number}", source="s", type=kind, time_us=0)


def play(scenario, known=()):
    async def run():
        inbox = Inbox()
        await scenario(inbox, Feed(inbox, VirtualClock(), known=lambda each: each.id in known))

    asyncio.run(run())


def test_events_are_taken_when_they_are_durable_and_not_before():
    """The answer waits for the acknowledgement, and counts what was seen before, in the part itself too."""

    async def scenario(inbox, feed):
        waiting = asyncio.ensure_future(feed.feed([event(1), event(2), event(2), event(3)]))
        [received] = await inbox.receive(9)
        assert [each.id for each in received.events] == ["e1", "e2", "e2", "e3"]
        assert not waiting.done()
        assert feed.status().in_flight == 1
        await feed.acknowledge([received, received])
        assert await waiting == Fed(new=2, duplicates=2)
        assert feed.status().in_flight == 0

    play(scenario, known={"e1"})


def test_what_is_not_theirs_to_say_is_refused_as_a_whole():
    """The type that only the daemon may say can't be handed in either."""

    async def scenario(inbox, feed):
        answer = await feed.feed([event(1), event(2, VIOLATION)])
        assert isinstance(answer, NotFed)
        assert VIOLATION in answer.reason
        assert len(inbox) == 0

    play(scenario)


def test_nothing_is_taken_while_the_store_takes_nothing_or_too_much_waits(monkeypatch):
    """Both are refused with the reason, and may come again."""
    monkeypatch.setattr(feeding, "EVENTS_IN_FLIGHT_MAX", 2)

    async def scenario(inbox, feed):
        feed.pause()
        assert "store" in (await feed.feed([event(1)])).reason
        feed.resume()
        waiting = asyncio.ensure_future(feed.feed([event(1), event(2)]))
        [received] = await inbox.receive(9)
        assert "not durable yet" in (await feed.feed([event(3)])).reason
        await feed.acknowledge([received])
        assert isinstance(await waiting, Fed)

    play(scenario)


def test_what_is_late_is_said_to_be_late(monkeypatch):
    """Past the time it is not known whether it came to be durable, and the answer says that."""
    monkeypatch.setattr(feeding, "DURABLE_S_MAX", 0.01)

    async def scenario(inbox, feed):
        answer = await feed.feed([event(1)])
        assert isinstance(answer, NotFed)
        assert answer.late
        [received] = await inbox.receive(9)
        await feed.acknowledge([received])
        assert feed.status().in_flight == 0

    play(scenario)
