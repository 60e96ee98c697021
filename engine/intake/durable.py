"""Those who wait until what they handed to the inbox is durable, by its token: for doors that answer their senders."""

import asyncio

from engine.intake.contract import Inbox, Received


class DurableWaits:
    """What one door handed on and is not durable yet."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, inbox: Inbox, received: Received, *, within_s: float) -> bool:
        """Hand it on and wait for its commit; False where that takes too long, though it may still come."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[received.token] = durable
        inbox.put(received)
        try:
            async with asyncio.timeout(within_s):
                await durable
        except TimeoutError:
            return False
        return True

    def settle(self, received: Received) -> bool:
        """It is durable: tell who waits for it. False where it is nothing that was handed on here."""
        durable = self._waiting.pop(received.token, None)
        if durable is None:
            return False
        if not durable.done():
            durable.set_result(None)
        return True
