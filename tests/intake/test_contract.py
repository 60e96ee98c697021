"""engine.intake.contract: the inbox that all doors share, and acknowledging at the door that brought a message."""

import asyncio

import pytest

from engine.intake.contract import Doors, Inbox, IntakeStatus, Received


def message(door, token):
    return Received(door=door, token=token, topic="t", payload=b"", received_us=0, size_bytes=0)


class FakeDoor:
    def __init__(self, name):
        self.name = name
        self.acknowledged = []
        self.paused = False

    async def run(self):
        raise AssertionError("not run here")

    async def acknowledge(self, received):
        self.acknowledged += [each.token for each in received]

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def status(self):
        return IntakeStatus(name=self.name, connected=True, paused=self.paused)


def test_receive_waits_for_the_first_message_and_takes_what_is_there():
    """At least one, at most `count_max`, in the order of arrival."""

    async def scenario():
        inbox = Inbox()
        waiting = asyncio.ensure_future(inbox.receive(2))
        await asyncio.sleep(0)
        assert not waiting.done()
        for token in range(3):
            inbox.put(message("a", token))
        assert [each.token for each in await waiting] == [0, 1]
        assert [each.token for each in await inbox.receive(2)] == [2]
        assert len(inbox) == 0

    asyncio.run(scenario())


def test_a_cancelled_receive_loses_no_message():
    """A time-out around `receive` that strikes as a message arrives leaves the message in the inbox."""

    async def scenario():
        inbox = Inbox()
        waiting = asyncio.ensure_future(inbox.receive(2))
        await asyncio.sleep(0)
        inbox.put(message("a", 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [each.token for each in await inbox.receive(2)] == [1]

    asyncio.run(scenario())


def test_doors_acknowledge_each_message_where_it_came_in():
    """A mixed batch goes back to its doors, each in order; pause and resume reach all."""

    async def scenario():
        inbox = Inbox()
        one, two = FakeDoor("one"), FakeDoor("two")
        doors = Doors([one, two], inbox)
        for door, token in (("one", 1), ("two", 1), ("one", 2)):
            inbox.put(message(door, token))
        assert len(doors) == 3
        await doors.acknowledge(await doors.receive(10))
        assert (one.acknowledged, two.acknowledged) == ([1, 2], [1])
        doors.pause()
        assert [each.paused for each in doors.status()] == [True, True]
        doors.resume()
        assert [each.paused for each in doors.status()] == [False, False]

    asyncio.run(scenario())


def test_two_doors_of_one_name_are_a_programmers_error():
    """Acknowledgements go by the name of the door."""
    with pytest.raises(AssertionError, match="used twice"):
        Doors([FakeDoor("a"), FakeDoor("a")], Inbox())
