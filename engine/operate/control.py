"""Turns requests on the control socket (HTTP over a Unix socket) into views of the store and steering of the daemon.

`app` starts it; `engine.operate.client` and so every `halon …` command speaks to it. The peer is known by the kernel's
word, see `peers`; who steered is handed to `Steering`, which records it. Bounds: connections, bytes of a request, the
time in which a request has to arrive, and the time it may take.
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from engine.logs import get_logger
from engine.model import IncidentId, LeaseId, Struct
from engine.operate import events, openapi, reviews, rulestats, views
from engine.operate.contract import (
    Act,
    Advance,
    Close,
    Done,
    Handed,
    Handing,
    NotDone,
    NotFound,
    Reason,
    Steering,
    Taken,
    WatchKey,
)
from engine.operate.metrics import CONTENT_TYPE
from engine.operate.peers import GROUP, Peer, group_id, identify
from engine.operate.shown import Status, Stored
from engine.store.connection import Connection
from engine.store.errors import StoreError

BODY_BYTES_MAX = 65_536
EVENTS_BYTES_MAX = 4 * 1_048_576
"""Of a part of a recording."""
CONNECTIONS_MAX = 32
ARRIVE_S_MAX = 5.0
"""A request that has not arrived by then is dropped with its connection."""
READ_S_MAX = 10.0
ACT_S_MAX = 120.0
"""Releasing a lease undoes it at its target, which takes as long as the target does."""
PATH_BYTES_MAX = 107  # sun_path of Linux, without its final zero byte

T = TypeVar("T")
_PEER = web.RequestKey("peer", Peer)


class ControlError(Exception):
    """The socket can't be served; the text says why and what to do."""


class Reader(Protocol):
    """`Store.read`: runs a function on a connection that can't write."""

    def __call__(self, function: Callable[[Connection], T], /) -> Awaitable[T]: ...


class Apart(Protocol):
    """`Store.apart`: what a module answers that runs as a process on the database."""

    def __call__(self, module: str, request: bytes, /) -> Awaitable[bytes]: ...


class ControlServer:
    """Serves the control socket between `start` and `stop`."""

    def __init__(
        self,
        path: Path,
        *,
        steering: Steering,
        read: Reader,
        apart: Apart,
        stored: Callable[[Connection], Stored],
        metrics: Callable[[], Awaitable[bytes]] | None = None,
        group: str = GROUP,
    ) -> None:
        """`read` and `apart` are those of `Store`; `stored` is `views.stored` with the time and the budgets filled in.

        `metrics` gives what `/metrics` answers.
        """
        self._path = path
        self._steering = steering
        self._read = read
        self._apart = apart
        self._stored = stored
        self._metrics = metrics
        self._group = group
        self._log = get_logger("halon.control")
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Bind and listen. Raises ControlError where another daemon has the socket, or the place is not ours."""
        bound = bind(self._path, group=self._group)
        runner = web.AppRunner(self._app(), access_log=None, handle_signals=False)
        await runner.setup()
        assert runner.server is not None  # set by setup()
        self._runner = runner
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, sock=bound)

    async def stop(self) -> None:
        """Stop listening, let running requests end, remove the socket."""
        if self._server is None or self._runner is None:
            return
        self._server.close()
        await self._runner.cleanup()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._server = self._runner = None

    def _accept(self) -> asyncio.BaseProtocol:
        """A protocol for a new connection; past CONNECTIONS_MAX, one that hangs up."""
        assert self._runner is not None  # accepting starts after both are set
        assert self._runner.server is not None
        if len(self._connections) >= CONNECTIONS_MAX:
            self._log.warning("control connections at their limit", connections_max=CONNECTIONS_MAX)
            return _HangUp()
        loop = asyncio.get_running_loop()
        connection = _Connection(self._runner.server, loop, self._connections.discard)
        self._connections.add(connection)
        loop.call_later(ARRIVE_S_MAX, connection.drop_if_silent)
        return connection

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._guard])
        for path, read in _READS.items():
            app.router.add_get(path, self._reading(read))
        for path, act in _ACTS.items():
            app.router.add_post(path, self._acting(act))
        app.router.add_get("/v1/events", self._recorded)
        app.router.add_post("/v1/events", self._acting(ControlServer._hand_in, body_bytes_max=EVENTS_BYTES_MAX))
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/openapi.json", self._document)
        app.router.add_get("/metrics", self._render_metrics)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Who is it, may they; then the request within its time, and every failure as JSON that says what to do."""
        assert isinstance(request.protocol, _Connection)
        request.protocol.heard = True
        connection = request.get_extra_info("socket")
        if connection is None:  # gone already
            return _error(400, "the connection is closed")
        peer = identify(connection, group=self._group)
        request[_PEER] = peer
        acts = request.method not in {"GET", "HEAD"}
        if acts and not peer.may_act:
            self._log.warning("steering refused", who=peer.name, path=request.path)
            return _error(
                403, f"{peer.name} may read but not act: only root and members of the group `{self._group}` may act"
            )
        try:
            async with asyncio.timeout(ACT_S_MAX if acts else READ_S_MAX):
                response = await handler(request)
        except TimeoutError:
            response = _error(504, "it takes too long and may still be under way: look at `halon status`")
        except StoreError as error:
            response = _error(503, f"the database can't be read: {error}")
        except web.HTTPException as error:
            response = _error(error.status, error.text or error.reason)
        # One request per connection: who was silent is known, and a restart leaves nobody on an old connection.
        response.force_close()
        return response

    def _reading(self, read: "_Read") -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                found = await self._read(lambda connection: read(connection, request.match_info, request.query))
            except views.BadQuery as error:
                return _error(400, str(error))
            return _json(found) if found is not None else _error(404, f"there is no {_what(request)}")

        return handle

    def _acting(
        self, act: "_Do", *, body_bytes_max: int = BODY_BYTES_MAX
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(ARRIVE_S_MAX):
                    body = await request.clone(client_max_size=body_bytes_max).read()
            except TimeoutError:
                return _error(408, f"the body did not arrive within {ARRIVE_S_MAX:g} s")
            try:
                answer = await act(self, request.match_info, body or b"{}", request[_PEER].name)
            except msgspec.DecodeError as error:
                return _error(400, f"the body is not what is asked for: {error}")
            return _answer(answer)

        return handle

    async def _status(self, request: web.Request) -> web.StreamResponse:
        del request
        stored = await self._read(self._stored)
        return _json(Status(stored=stored, live=await self._steering.status()))

    async def _recorded(self, request: web.Request) -> web.StreamResponse:
        try:
            question = events.asked(request.query)
        except views.BadQuery as error:
            return _error(400, str(error))
        found = await self._apart(events.__name__, msgspec.json.encode(question))
        return _rendered(found) if found != events.NOTHING else _error(404, f"there is no {_what(request)}")

    async def _document(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json(openapi.document())

    async def _render_metrics(self, request: web.Request) -> web.StreamResponse:
        del request
        if self._metrics is None:
            return _error(404, "metrics are off")
        return web.Response(body=await self._metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def _release(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        reason = msgspec.json.decode(body, type=Reason).reason
        return await self._steering.release_lease(LeaseId(match["lease"]), who=who, reason=reason)

    async def _approve(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        msgspec.json.decode(body, type=Struct)
        found = await self._read(lambda connection: views.find_step(connection, match["incident"], match["step"]))
        return found if isinstance(found, NotFound) else await self._steering.approve(found, who=who)

    async def _deny(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        reason = msgspec.json.decode(body, type=Reason).reason
        found = await self._read(lambda connection: views.find_step(connection, match["incident"], match["step"]))
        return found if isinstance(found, NotFound) else await self._steering.deny(found, who=who, reason=reason)

    async def _acknowledge(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        reason = msgspec.json.decode(body, type=Reason).reason
        return await self._steering.acknowledge(IncidentId(match["incident"]), who=who, reason=reason)

    async def _advance(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        wanted = msgspec.json.decode(body, type=Advance)
        return await self._steering.advance(IncidentId(match["incident"]), wanted, who=who)

    async def _close(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        wanted = msgspec.json.decode(body, type=Close)
        return await self._steering.close_incident(IncidentId(match["incident"]), wanted, who=who)

    async def _reopen(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        reason = msgspec.json.decode(body, type=Reason).reason
        return await self._steering.reopen(IncidentId(match["incident"]), who=who, reason=reason)

    async def _watch(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        del match
        return await self._steering.watch(msgspec.json.decode(body, type=WatchKey), who=who)

    async def _unwatch(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        del match
        return await self._steering.unwatch(msgspec.json.decode(body, type=WatchKey), who=who)

    async def _pause(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        del match
        return await self._steering.pause(who=who, reason=msgspec.json.decode(body, type=Reason).reason)

    async def _resume(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        del match
        msgspec.json.decode(body, type=Struct)
        return await self._steering.resume(who=who)

    async def _reload(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        del match
        msgspec.json.decode(body, type=Struct)
        return await self._steering.reload(who=who)

    async def _drop_deadletter(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        msgspec.json.decode(body, type=Struct)
        return await self._steering.drop_deadletter(int(match["number"]), who=who)

    async def _retry_deadletter(self, match: Mapping[str, str], body: bytes, who: str) -> Act:
        msgspec.json.decode(body, type=Struct)
        return await self._steering.retry_deadletter(int(match["number"]), who=who)

    async def _hand_in(self, match: Mapping[str, str], body: bytes, who: str) -> Handing:
        del match
        return await self._steering.hand_in(msgspec.json.decode(body, type=Handed), who=who)


_Read = Callable[[Connection, Mapping[str, str], Mapping[str, str]], object]
_Do = Callable[[ControlServer, Mapping[str, str], bytes, str], Awaitable[Act | Handing]]

_READS: dict[str, _Read] = {
    "/v1/incidents": lambda db, _, query: views.incidents(
        db, state=query.get("state", "open"), limit=views.limit(query.get("limit"))
    ),
    "/v1/incidents/{incident}": lambda db, match, _: views.incident(db, match["incident"]),
    "/v1/incidents/{incident}/review": lambda db, match, _: reviews.review(db, match["incident"]),
    "/v1/rules/stats": lambda db, _match, _query: rulestats.rule_stats(db),
    "/v1/watch": lambda db, _match, _query: views.watch_list(db),
    "/v1/leases": lambda db, _, query: views.leases(
        db, ended=query.get("ended") == "true", limit=views.limit(query.get("limit"))
    ),
    "/v1/deadletters": lambda db, _, query: views.deadletters(db, limit=views.limit(query.get("limit"))),
    r"/v1/deadletters/{number:\d{1,18}}": lambda db, match, _: views.deadletter(db, int(match["number"])),
}
_ACTS: dict[str, _Do] = {
    "/v1/incidents/{incident}/ack": ControlServer._acknowledge,  # noqa: SLF001  # the table of this class's own acts
    "/v1/incidents/{incident}/advance": ControlServer._advance,  # noqa: SLF001
    "/v1/incidents/{incident}/close": ControlServer._close,  # noqa: SLF001
    "/v1/incidents/{incident}/reopen": ControlServer._reopen,  # noqa: SLF001
    "/v1/incidents/{incident}/steps/{step}/approve": ControlServer._approve,  # noqa: SLF001
    "/v1/incidents/{incident}/steps/{step}/deny": ControlServer._deny,  # noqa: SLF001
    "/v1/leases/{lease}/release": ControlServer._release,  # noqa: SLF001
    r"/v1/deadletters/{number:\d{1,18}}/drop": ControlServer._drop_deadletter,  # noqa: SLF001
    r"/v1/deadletters/{number:\d{1,18}}/retry": ControlServer._retry_deadletter,  # noqa: SLF001
    "/v1/watch": ControlServer._watch,  # noqa: SLF001
    "/v1/unwatch": ControlServer._unwatch,  # noqa: SLF001
    "/v1/pause": ControlServer._pause,  # noqa: SLF001
    "/v1/resume": ControlServer._resume,  # noqa: SLF001
    "/v1/reload": ControlServer._reload,  # noqa: SLF001
}


class _Connection(web.RequestHandler):
    """One connection: knows whether a request has arrived on it, and tells when it is gone."""

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, gone: Callable[["_Connection"], None]
    ) -> None:
        super().__init__(server, loop=loop, access_log=None)  # type: ignore[arg-type]  # None: no access log
        self._gone = gone
        self.heard = False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gone(self)
        super().connection_lost(exc)

    def drop_if_silent(self) -> None:
        """Hang up on a peer that has not finished the head of a request."""
        if not self.heard and self.transport is not None:
            self.transport.abort()


class _HangUp(asyncio.Protocol):
    """Ends a connection as soon as it stands."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def bind(path: Path, *, group: str = GROUP) -> socket.socket:
    """A listening-to-be socket at `path`, mode 0660, of the group where there is one. Raises ControlError."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ControlError(
            f"{path} is longer than the {PATH_BYTES_MAX} bytes of a socket's path: set `daemon.control_socket`"
        )
    try:
        _remove_stale(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Linux takes the new file's mode from the socket's own: nobody else connects before the group is set.
            os.fchmod(bound.fileno(), 0o600)
            bound.bind(str(path))
            gid = group_id(group)
            if gid is not None:
                # Only root, or a member, may give it to the group; the socket then stays with the daemon's own.
                with contextlib.suppress(PermissionError):
                    os.chown(path, -1, gid)
            path.chmod(0o660)
            bound.settimeout(0)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise ControlError(f"the control socket {path} can't be made: {error.strerror or error}") from error
    return bound


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"{path} exists and is no socket: move it away, or set `daemon.control_socket`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ControlError(f"another daemon answers on {path}: stop it first, or set `daemon.control_socket`")


def _answer(answer: Act | Handing) -> web.Response:
    match answer:
        case Done() | Taken():
            return _json(answer)
        case NotDone():
            return _json(answer, status=409)
        case NotFound():
            return _json(answer, status=404)


def _json(value: object, *, status: int = 200) -> web.Response:
    return _rendered(msgspec.json.encode(value), status=status)


def _rendered(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, content_type="application/json", status=status)


def _error(status: int, text: str) -> web.Response:
    return _json({"error": text}, status=status)


def _what(request: web.Request) -> str:
    named = " ".join(f"{name} `{value}`" for name, value in request.match_info.items())
    return named or f"incident `{request.query.get('around', '')}`"
