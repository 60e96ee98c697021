"""Slots and locks on a real event loop: who goes first, and that nobody's leaving loses a place."""

import asyncio

from engine.contain.slots import Locks, Priority, Slots


async def _turns(order: list, slots: Slots, name: str, priority: Priority) -> None:
    async with slots.hold(priority):
        order.append(name)
        await asyncio.sleep(0)


def test_the_more_urgent_and_then_the_older_go_first():
    """Severity before age, age before order of asking."""

    async def scenario():
        slots, order = Slots(1), []
        async with slots.hold(Priority(0, 0)):
            waiting = [
                asyncio.ensure_future(_turns(order, slots, name, Priority(urgency, at_us)))
                for name, urgency, at_us in [("low", 0, 1), ("late", -3, 9), ("early", -3, 2), ("middle", -1, 1)]
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert order == ["early", "late", "middle", "low"]
        assert slots.idle

    asyncio.run(scenario())


def test_no_more_than_the_limit_hold_at_once():
    """The bound holds whatever the order of coming and going."""

    async def scenario():
        slots, holding, most = Slots(3), 0, 0

        async def work(number: int) -> None:
            nonlocal holding, most
            async with slots.hold(Priority(0, number)):
                holding += 1
                most = max(most, holding)
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                holding -= 1

        await asyncio.gather(*(work(number) for number in range(40)))
        assert (most, slots.idle) == (3, True)

    asyncio.run(scenario())


def test_one_who_leaves_while_waiting_or_just_as_it_is_its_turn_loses_no_place():
    """A cancelled waiter hands on what it was about to get."""

    async def scenario():
        for just_as in (False, True):
            slots, order = Slots(1), []
            async with slots.hold(Priority(0, 0)):
                first = asyncio.ensure_future(_turns(order, slots, "first", Priority(0, 1)))
                second = asyncio.ensure_future(_turns(order, slots, "second", Priority(0, 2)))
                await asyncio.sleep(0)
                if not just_as:
                    first.cancel()
                    await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert order == ["second"]
            assert slots.idle

    asyncio.run(scenario())


def test_locks_are_per_name_and_forgotten_when_unused():
    """Two targets do not wait for each other; the table does not grow."""

    async def scenario():
        locks = Locks()
        async with locks.hold("k", "a", Priority(0, 0)) as waited, locks.hold("k", "b", Priority(0, 0)) as other:
            assert (waited, other) == (False, False)
            blocked = asyncio.ensure_future(locks.hold("k", "a", Priority(0, 0)).__aenter__())
            await asyncio.sleep(0)
            assert not blocked.done()
            blocked.cancel()
            await asyncio.gather(blocked, return_exceptions=True)
        assert locks._locks == {}

    asyncio.run(scenario())


def test_another_limit_lets_in_who_waits_or_nobody_until_enough_have_gone():
    """More slots are handed out at once; with fewer, as many leave before the next one comes."""

    async def scenario():
        slots, leave, inside = Slots(1), asyncio.Event(), []

        async def work(number: int) -> None:
            async with slots.hold(Priority(0, number)):
                inside.append(number)
                try:
                    await leave.wait()
                finally:
                    inside.remove(number)

        async def settled() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        tasks = [asyncio.ensure_future(work(number)) for number in range(5)]
        await settled()
        assert inside == [0]
        slots.resize(3)
        await settled()
        assert inside == [0, 1, 2]
        slots.resize(1)
        tasks[0].cancel()
        tasks[1].cancel()
        await settled()
        assert inside == [2], "two left, and none may follow while one of one is in use"
        leave.set()
        await asyncio.gather(*tasks[2:])
        assert slots.idle

    asyncio.run(scenario())
