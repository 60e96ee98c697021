"""engine.intake.heartbeat on the virtual clock."""

import asyncio

from engine.clock import VirtualClock
from engine.intake.contract import Inbox
from engine.intake.heartbeat import Heartbeat


def test_a_beat_counts_once_it_is_durable_and_only_then_comes_the_next():
    """While one is under way no other is sent, however long that takes; each durable one is told of."""

    async def scenario():
        clock, inbox, beats = VirtualClock(), Inbox(), []
        heart = Heartbeat(inbox, clock, every_s=5.0, beat=lambda: beats.append(clock.now_us()))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(heart.run(), name="heartbeat")
            [first] = await inbox.receive(10)
            assert first.events == (), "an event of now would overtake those that wait"
            await clock.advance_s(60)
            assert len(inbox) == 0
            assert beats == []
            await heart.acknowledge([first])
            assert len(beats) == 1
            await clock.advance_s(4.9)
            assert len(inbox) == 0
            await clock.advance_s(0.2)
            [second] = await inbox.receive(10)
            assert second.token != first.token
            assert heart.status().in_flight == 1
            task.cancel()

    asyncio.run(scenario())
