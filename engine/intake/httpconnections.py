"""The connections of an HTTP door: let in up to a limit, hung up on when silent, and heard out when the door leaves.

A door leaves when it is exchanged and when the daemon stops. Nobody more is let in then, who is in is heard, and the
rest is hung up on without a reset. Who waits in the backlog of a listening socket that another door shares is not
touched: that door lets them in. `engine.intake.http` is the only one to ask.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from engine.clock import Clock

LEAVE_S = 0.1
"""Who is connected gets so long for a request that is on its way."""
LEAVE_S_MAX = 1.0
"""And who has not been answered once, or is being heard, so long at most."""
LINGER_S = 0.1
"""Who is idle gets so long to hang up first."""
POLL_S = 0.01
TURNS = 3
"""Of the loop, until a request that was read is being heard."""


class Connections:
    """Those of one door, each a protocol of aiohttp's server."""

    def __init__(self, clock: Clock, *, connections_max: int, head_within_s: float) -> None:
        """A connection that brings no whole head of a request in `head_within_s` is hung up on."""
        self.silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        """Connections without a whole head so far, and what hangs up on them."""
        self.heard: set[web.RequestHandler] = set()
        """Connections whose request is being handled."""
        self._clock = clock
        self._connections_max = connections_max
        self._head_within_s = head_within_s
        self._server: web.Server | None = None
        self._listeners: Sequence[socket.socket] = ()
        self._accepting: list[asyncio.Server] = []
        self._leaving = False

    async def let_in(self, server: web.Server, listeners: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Give `server` whoever connects to these bound sockets, which are closed by `leave`."""
        self._server, self._listeners = server, listeners
        loop = asyncio.get_running_loop()
        for each in listeners:
            self._accepting.append(await loop.create_server(self._connect, sock=each, ssl=tls))

    @web.middleware
    async def hear(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """A connection that has brought a whole head is no longer silent; aiohttp ends it when idle from then on."""
        timer = self.silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        self.heard.add(request.protocol)
        try:
            answer = await handler(request)
        finally:
            self.heard.discard(request.protocol)
        if self._leaving:
            answer.force_close()  # the sender is told that this connection takes no more
        return answer

    async def leave(self) -> None:
        """Let nobody in any more, hear who is in, and hang up on all who are idle; bounded."""
        self._leaving = True
        await self._stop_accepting()
        await self._clock.sleep_s(LEAVE_S)
        await self._while(self._expects_more, LEAVE_S_MAX - LEAVE_S)
        if self._server is not None:
            await self._hang_up_on_idle(self._server)

    def forget(self) -> None:
        """All have ended."""
        for timer in self.silent.values():
            timer.cancel()
        self.silent.clear()

    def _connect(self) -> asyncio.BaseProtocol:
        """Connections up to the limit; one more is closed at once."""
        assert self._server is not None, "let_in() comes first"
        if len(self._server.connections) >= self._connections_max:
            return _Full()
        connection = self._server()
        loop = asyncio.get_running_loop()
        self.silent[connection] = loop.call_later(self._head_within_s, self._hang_up_on_silent, connection)
        return connection

    def _hang_up_on_silent(self, connection: web.RequestHandler) -> None:
        self.silent.pop(connection, None)
        if connection.transport is not None:
            connection.transport.abort()

    async def _stop_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        # A connection is accepted in one turn of the loop and handed to its server in the next. A server that is closed
        # in between does not take it: it would stay open, unheard, for as long as its sender waits.
        for each in self._listeners:
            loop.remove_reader(each)
        try:
            await asyncio.sleep(0)
        finally:
            for server in self._accepting:
                server.close()
            for each in self._listeners:
                each.close()

    def _expects_more(self) -> bool:
        return bool(self.heard) or any(each.transport is not None for each in self.silent)

    async def _hang_up_on_idle(self, server: web.Server) -> None:
        """Close the sending side, and read and drop what still comes until the sender hangs up (RFC 9112, section 9.6).

        A socket that is closed with something unread in it resets the connection, and a reset may take the answer
        before with it. TLS can't close one side. A request that comes now was not acted on: its sender sees the
        connection end before a byte of an answer, and may send it again (section 9.3.1).
        """
        idle = [each for each in server.connections if each not in self.heard]
        for each in idle:
            each.close()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        idle = [each for each in idle if each not in self.heard]
        for each in idle:
            _close_sending_side(each)
        await self._while(lambda: any(each.transport is not None for each in idle), LINGER_S)

    async def _while(self, condition: Callable[[], bool], within_s: float) -> None:
        for _ in range(round(within_s / POLL_S)):
            if not condition():
                return
            await self._clock.sleep_s(POLL_S)


def _close_sending_side(connection: web.RequestHandler) -> None:
    transport = connection.transport
    if not isinstance(transport, asyncio.Transport) or not transport.can_write_eof():
        return
    if transport.get_write_buffer_size():
        return  # an answer is still being sent
    with contextlib.suppress(OSError):  # it is gone already
        transport.write_eof()


class _Full(asyncio.Protocol):
    """A connection past the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
