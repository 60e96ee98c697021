"""Events over HTTP, for what has no MQTT: `POST /events/SENDER`, answered 202 only once the events are durable.

A request is proved, bounded and decoded before it goes to the inbox, so that its sender hears what is wrong with it; a
request is taken as a whole or not at all. `engine.app` builds one door from `[http]` and runs it.
"""

import asyncio
import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec
import structlog
from aiohttp import web

from engine.cel.environment import CelEnvironment
from engine.clock import SECOND_US, Clock
from engine.config import HttpConfig, IntakeConfig, SenderConfig
from engine.intake.contract import TOKENS, DeadLetter, Inbox, IntakeStatus, Once, Received
from engine.intake.doorapi import document
from engine.intake.durable import DurableWaits
from engine.intake.encodings import ACCEPTED, readable, unpacked
from engine.intake.httpbody import NotDecoded, decode_body, kept_headers
from engine.intake.httpconnections import Connections
from engine.intake.letters import joined_reasons, letter
from engine.intake.listening import bind, server_tls
from engine.intake.mapping import EventMapper, compile_map
from engine.intake.permits import objection, violation
from engine.intake.proof import REPLAYED, Proof, violation_of
from engine.intake.senders import Sender
from engine.intake.signatures import Unproved
from engine.model import Event

DOOR = "http"
RETRY_AFTER_S = 1

_log = structlog.get_logger(__name__)

Page = Callable[[], Awaitable[tuple[int, str, bytes]]]
"""Gives status, content type and body of a page that is read by GET."""


class HttpIntake:
    """The HTTP door. Raises ValueError or OSError where a sender's secret or map, or a certificate, does not do."""

    def __init__(
        self,
        config: HttpConfig,
        intake: IntakeConfig,
        inbox: Inbox,
        clock: Clock,
        *,
        pages: Mapping[str, Page] | None = None,
        listeners: Sequence[socket.socket] = (),
        known: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """`pages` are served by path to whoever reaches the port; `listeners` are bound sockets, else it binds some.

        `known` says whether a signing came before.
        """
        self.name = DOOR
        self._config = config
        self._inbox = inbox
        self._clock = clock
        self._body_bytes_max = intake.payload_bytes_max
        self._events_max = intake.payload_events_max
        self._bytes_max = intake.in_flight_bytes_max
        environment = CelEnvironment({})
        self._pages = {"/openapi.json": _document(config), **(pages or {})}
        self._known = known
        self._senders = {
            each.name: Sender(each, clock, mapper=_mapper(each, environment), proof=_proof(each, intake))
            for each in config.senders
        }
        if len(self._senders) != len(config.senders):
            raise ValueError("two entries of `http.senders` have one name")
        self._tls = server_tls(config)
        self._listeners = list(listeners)
        self._listening = False
        self._paused = False
        self._reading: Counter[str] = Counter()
        self._bytes = 0
        self._durable = DurableWaits()
        self._connections = Connections(
            clock, connections_max=config.connections_max, head_within_s=config.body_within / SECOND_US
        )
        self._received_total = 0
        self._received_bytes_total = 0
        self._acknowledged_total = 0
        self._oversized_total = 0

    async def run(self) -> None:
        """Listen until cancelled. Raises OSError where the address can't be listened on."""
        application = web.Application(client_max_size=self._body_bytes_max, middlewares=[self._connections.hear])
        application.router.add_post("/events/{sender}", self._post)
        for path, page in self._pages.items():
            application.router.add_get(path, _getting(page))
        runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=30.0,
            lingering_time=1.0,
            shutdown_timeout=1.0,
            handle_signals=False,
            auto_decompress=False,  # signatures are over the bytes as sent, and a stranger's are never unpacked
        )
        await runner.setup()
        assert runner.server is not None, "set up just now"
        try:
            self._listeners = self._listeners or bind(self._config)
            await self._connections.let_in(runner.server, self._listeners, self._tls)
            self._listening = True
            _log.info("listening", door=self.name, host=self._config.listen, port=self._config.port)
            await asyncio.Event().wait()
        finally:
            # Who is in is heard yet, and told to come again.
            self._listening = False
            self._paused = True
            self._listeners = []
            await self._connections.leave()
            await runner.cleanup()
            self._connections.forget()

    def share_listeners(self) -> list[socket.socket]:
        """Its listening sockets once more, for a door that takes its place: no connection is refused in between."""
        return [each.dup() for each in self._listeners]

    def close(self) -> None:
        """Let go of the listening sockets; for a door that was made and is not run after all."""
        for each in self._listeners:
            each.close()
        self._listeners = []

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """What these requests brought is durable: they are answered 202."""
        for each in received:
            if self._durable.settle(each):
                self._bytes -= each.size_bytes
                self._acknowledged_total += 1

    def pause(self) -> None:
        """Answer 503 with Retry-After until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Take requests again."""
        self._paused = False

    def status(self) -> IntakeStatus:
        """How the door stands; `connected` means that it listens."""
        return IntakeStatus(
            name=self.name,
            connected=self._listening,
            problem="" if self._listening else "not listening",
            paused=self._paused,
            in_flight=len(self._durable),
            in_flight_bytes=self._bytes,
            received_total=self._received_total,
            received_bytes_total=self._received_bytes_total,
            acknowledged_total=self._acknowledged_total,
            oversized_total=self._oversized_total,
        )

    async def _post(self, request: web.Request) -> web.Response:
        sender = self._senders.get(request.match_info["sender"])
        if sender is None:
            return _refusal(404, "no such sender; `http.senders` in the config names them")
        if sender.config.token_file and not sender.knows_token(request.headers.get("Authorization")):
            return _refusal(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        if not sender.signs and (busy := _too_often(sender)):
            return busy
        encoding = ", ".join(request.headers.getall("Content-Encoding", ["identity"]))
        if not readable(encoding):
            reason = f"`Content-Encoding` has to be one of {ACCEPTED}, or to be left out"
            return _refusal(415, reason, {"Accept-Encoding": ACCEPTED})
        if self._paused:
            return _refusal(503, "the store takes nothing at present", _retry_after(RETRY_AFTER_S))
        size = request.content_length
        if size is not None and size > self._body_bytes_max:
            return self._oversized()
        # Whoever signs is nobody yet: all such share one half, lest strangers who are slow keep the others out.
        whose = "" if sender.signs else sender.config.name
        # What a sender gave up on still counts until it is committed
        under_way = self._reading.total() + len(self._durable)
        most, half = self._config.requests_max, max(1, self._config.requests_max // 2)
        if under_way >= most or self._reading[whose] >= half or self._bytes + (size or 0) > self._bytes_max:
            return self._too_many()
        self._reading[whose] += 1
        try:
            body = await self._read(request, sender)
        finally:
            self._reading[whose] -= 1
        if isinstance(body, web.Response):
            return body
        received = self._received(request, sender, body)
        once = await self._prove(request, sender, received)
        if isinstance(once, web.Response):
            return once
        # A request without proof does not use up the rate of the sender it pretends to be
        if sender.signs and (busy := _too_often(sender)):
            return busy
        plain = self._unpacked(received, encoding)
        return plain if isinstance(plain, web.Response) else await self._take(sender, plain, once)

    async def _read(self, request: web.Request, sender: Sender) -> bytes | web.Response:
        """The body; of a sender with `hmac_file` proved."""
        held = bytearray()
        try:
            async with asyncio.timeout(self._config.body_within / SECOND_US):
                # What is announced is not here yet: only what came is counted, so that the slow hold no room.
                async for part in request.content.iter_any():
                    held += part
                    self._bytes += len(part)
                    if len(held) > self._body_bytes_max:
                        return self._oversized()
                    if self._bytes > self._bytes_max:
                        return self._too_many()
        except TimeoutError:
            return _refusal(408, "the body did not come in time", {"Connection": "close"})
        finally:
            self._bytes -= len(held)
        body = bytes(held)
        config = sender.config
        if config.hmac_file and not sender.knows_signature(request.headers.get(config.hmac_header), body):
            return _refusal(401, f"the signature in `{config.hmac_header}` is missing or wrong")
        return body

    def _received(self, request: web.Request, sender: Sender, body: bytes) -> Received:
        return Received(
            door=self.name,
            token=0,
            topic=f"{DOOR}/{sender.config.name}",
            payload=body,
            received_us=self._clock.now_us(),
            size_bytes=len(body),
            content_type=request.headers.get("Content-Type", ""),
            properties=kept_headers(request.headers),
        )

    async def _prove(self, request: web.Request, sender: Sender, received: Received) -> Once | web.Response | None:
        """Of a sender with `signature`: what makes the request count once, or the answer that refuses it."""
        if sender.proof is None:
            return None
        beside = {name.lower(): value for name, value in request.headers.items()}
        found = sender.proof.judge(beside, received.payload, now_us=received.received_us)
        if isinstance(found, Unproved):
            return await self._unproved(sender, received, found, received.payload)
        if self._known(found.identity):
            return await self._unproved(sender, received, REPLAYED, found.identity)
        replay = _told(sender, received, REPLAYED, found.identity)
        return Once(identity=found.identity, signed_us=found.signed_us, otherwise=(replay,))

    def _unpacked(self, received: Received, encoding: str) -> Received | web.Response:
        """A proved request without its `Content-Encoding`; what it grew by has to find room as well."""
        body = unpacked(received.payload, encoding, bytes_max=self._body_bytes_max)
        if isinstance(body, NotDecoded):
            return self._oversized() if body.status == 413 else _refusal(body.status, body.reason)
        if self._bytes + len(body) > self._bytes_max and len(body) > received.size_bytes:
            return self._too_many()
        return msgspec.structs.replace(received, payload=body, size_bytes=len(body))

    async def _unproved(self, sender: Sender, received: Received, why: Unproved, about: bytes) -> web.Response:
        """Refuse a request that is not proved, and tell the rules of it now and then."""
        if sender.may_tell():
            await self._made_durable(received, [_told(sender, received, why, about)])
        return _refusal(409 if why is REPLAYED else 401, why.reason)

    async def _take(self, sender: Sender, received: Received, once: Once | None) -> web.Response:
        """Decode a proved body, hand its events on, and answer once they are durable."""
        arrived_us = received.received_us
        decoded = decode_body(sender, received, events_max=self._events_max)
        if isinstance(decoded, NotDecoded):
            return _refusal(decoded.status, decoded.reason)
        events = decoded.events
        if len(events) > self._events_max:
            return _refusal(413, f"{len(events)} events in one request; at most {self._events_max} are taken")
        reasons = [(each, reason) for each in events if (reason := objection(each, sender.config.may))]
        if reasons:  # told to the rules, not to the sender alone; nothing else of the request is taken
            name = sender.config.name
            told = [
                violation(each, why, door=self.name, entry=name, topic=f"http/{name}", arrived_us=arrived_us)
                for each, why in reasons
            ]
            durable = await self._made_durable(received, told)
            return _refusal(403, reasons[0][1]) if durable else _late()
        letters = [letter(received, joined_reasons(decoded.malformed))] if decoded.malformed else []
        first = [once] if once is not None else []
        if (events or letters) and not await self._made_durable(received, [*first, *events, *letters]):
            return _late()
        if letters and not events:
            return _refusal(400, letters[0].reason)
        refused = {"refused": len(decoded.malformed), "reason": letters[0].reason} if letters else {}
        return web.json_response({"accepted": len(events), **refused}, status=202)

    async def _made_durable(self, received: Received, events: Sequence[Event | DeadLetter | Once]) -> bool:
        """Hand the events on and wait for their commit; False where it takes too long, though it may still come."""
        self._bytes += received.size_bytes
        self._received_total += 1
        self._received_bytes_total += received.size_bytes
        handed = msgspec.structs.replace(received, token=next(TOKENS), events=tuple(events))
        return await self._durable.put(self._inbox, handed, within_s=self._config.durable_within / SECOND_US)

    def _too_many(self) -> web.Response:
        return _refusal(429, "too many requests are under way", _retry_after(RETRY_AFTER_S) | {"Connection": "close"})

    def _oversized(self) -> web.Response:
        self._oversized_total += 1
        reason = f"the body is larger than `intake.payload_bytes_max`, {self._body_bytes_max} bytes"
        return _refusal(413, reason, {"Connection": "close"})


def _document(config: HttpConfig) -> Page:
    body = msgspec.json.encode(document(config))

    async def read() -> tuple[int, str, bytes]:
        return 200, "application/json", body

    return read


def _getting(page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        del request
        status, content_type, body = await page()
        return web.Response(status=status, body=body, headers={"Content-Type": content_type})

    return handle


def _too_often(sender: Sender) -> web.Response | None:
    wait_s = sender.wait_s()
    return _refusal(429, "more requests than this sender may send", _retry_after(wait_s)) if wait_s > 0 else None


def _refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": reason}, status=status, headers=headers)


def _late() -> web.Response:
    return _refusal(503, "not durable in time; send it again", _retry_after(RETRY_AFTER_S))


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _proof(sender: SenderConfig, intake: IntakeConfig) -> Proof | None:
    try:
        return None if sender.signature is None else Proof(sender.signature, intake)
    except ValueError as error:
        raise ValueError(f"sender `{sender.name}`: {error}") from error


def _told(sender: Sender, received: Received, why: Unproved, about: bytes) -> Event:
    """What rules hear of a request that is not proved."""
    name = sender.config.name
    return violation_of(why, about, door=DOOR, entry=name, topic=received.topic, arrived_us=received.received_us)


def _mapper(sender: SenderConfig, environment: CelEnvironment) -> EventMapper | None:
    if (sender.format == "json") != (sender.map is not None):
        raise ValueError(f'sender `{sender.name}`: `map` goes with `format = "json"`, and the other way round')
    if sender.map is None:
        return None
    made = compile_map(sender.map, environment)
    if isinstance(made, EventMapper):
        return made
    attribute, problems = next(iter(made.items()))
    raise ValueError(f"sender `{sender.name}`: `map.{attribute}`: {problems[0].message}")
