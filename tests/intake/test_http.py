"""engine.intake.http: the HTTP door over a real socket, with aiohttp's client, raw sockets and a real Alertmanager."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import ssl
import tracemalloc
import zlib
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from engine.clock import SECOND_US, SystemClock
from engine.config import Config, EventMap, HttpConfig, IntakeConfig, MayConfig, SenderConfig, SignatureConfig
from engine.intake.contract import Inbox, Once, Received
from engine.intake.formats import Formats
from engine.intake.http import HttpIntake
from engine.intake.permits import VIOLATION
from engine.intake.producers.table import PRODUCERS
from engine.model import Event
from tests.intake.test_signatures import OTHER, SECRET, signed
from tests.support.bombs import bomb
from tests.support.certificates import make_certificates
from tests.support.realparts import free_port, need, server
from tests.support.samples import SAMPLES, producer_of
from tests.support.wait import until_async

BASE = {"specversion": "1.0", "id": "e-1", "source": "/train", "type": "training.step"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BEARER = {"Authorization": "Bearer s3cret"}
GZIP = {"Content-Encoding": "gzip"}
PACKED = gzip.compress(json.dumps(BASE).encode())


class Running:
    def __init__(self, door, inbox, port, session):
        self.door, self.inbox, self.port, self.session = door, inbox, port, session
        self.events = []

    async def post(self, sender, body, headers=BEARER):
        url = f"{'https' if self.door._tls else 'http'}://localhost:{self.port}/events/{sender}"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(url, data=raw, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text, answer.headers

    async def commit(self):
        """Play the pipeline: take whatever comes and acknowledge it at once."""
        while True:
            received = await self.inbox.receive(100)
            self.events += [event for each in received for event in each.events]
            await self.door.acknowledge(received)


@asynccontextmanager
async def open_door(
    tmp_path, *, commit=True, intake=None, senders=None, verify=None, known=lambda _: False, **settings
):
    (tmp_path / "secret").write_text("s3cret\n")
    secret = str(tmp_path / "secret")
    senders = senders or (
        SenderConfig(name="events", token_file=secret),
        SenderConfig(name="signed", hmac_file=secret),
        SenderConfig(name="plain", token_file=secret, format="json", map=EventMap(type="payload.kind")),
        SenderConfig(name="alertmanager", token_file=secret, format="alertmanager"),
        SenderConfig(name="slow", token_file=secret, per_second_max=1, burst_max=2),
    )
    inbox, port = Inbox(), free_port()
    config = HttpConfig(port=port, listen="127.0.0.1", senders=senders, **settings)
    door = HttpIntake(config, intake or IntakeConfig(), inbox, SystemClock(), known=known)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=verify if verify else True)) as session:
        running = Running(door, inbox, port, session)
        tasks = [loop.create_task(door.run(), name="door")]
        if commit:
            tasks.append(loop.create_task(running.commit(), name="pipeline"))
        try:
            await until_async(lambda: door.status().connected or tasks[0].done(), what="the door listens")
            yield running
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def run(scenario):
    asyncio.run(scenario())


def test_structured_batch_and_binary_cloudevents_are_accepted(tmp_path):
    """Each answers 202 with the number of events, and the events come to the inbox."""

    async def scenario():
        async with open_door(tmp_path) as running:
            assert (await running.post("events", BASE, BEARER | STRUCTURED))[:2] == (202, {"accepted": 1})
            batch = BEARER | {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
            assert (await running.post("events", [BASE, {**BASE, "id": "e-2"}], batch))[:2] == (202, {"accepted": 2})
            assert (await running.post("events", [], batch))[:2] == (202, {"accepted": 0})
            headers = {f"ce-{name}": value for name, value in {**BASE, "subject": "r%C3%A9"}.items()}
            answer = await running.post("events", {"a": 1}, BEARER | headers | {"Content-Type": "application/json"})
            assert answer[:2] == (202, {"accepted": 1})
            assert [each.id for each in running.events] == ["e-1", "e-1", "e-2", "e-1"]
            assert (running.events[-1].subject, running.events[-1].data) == ("ré", {"a": 1})

    run(scenario)


def test_202_comes_only_after_the_events_are_acknowledged(tmp_path):
    """The answer waits for the pipeline; where that takes too long the sender is told to send again."""

    async def scenario():
        async with open_door(tmp_path, commit=False, durable_within=SECOND_US // 5) as running:
            posting = asyncio.ensure_future(running.post("events", BASE, BEARER | STRUCTURED))
            (received,) = await running.inbox.receive(10)
            assert not posting.done()
            assert running.door.status().in_flight == 1
            await running.door.acknowledge([received])
            assert (await posting)[0] == 202
            await running.door.acknowledge([received])
            status, answer, headers = await running.post("events", BASE, BEARER | STRUCTURED)
            assert (status, answer) == (503, {"error": "not durable in time; send it again"})
            assert headers["Retry-After"] == "1"
            # It is still held, and counted, until it is committed
            assert running.door.status().in_flight == 1
            await running.door.acknowledge(await running.inbox.receive(10))
            status = running.door.status()
            assert (status.in_flight, status.in_flight_bytes, status.acknowledged_total) == (0, 0, 2)

    run(scenario)


def signature(body, key=b"s3cret"):
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()}


REFUSED = {
    "unknown sender": ("nobody", BASE, BEARER | STRUCTURED, 404, "no such sender"),
    "no token": ("events", BASE, STRUCTURED, 401, "the bearer token is missing or wrong"),
    "wrong token": ("events", BASE, {"Authorization": "Bearer x"} | STRUCTURED, 401, "the bearer token"),
    "no signature": ("signed", BASE, STRUCTURED, 401, "the signature in `X-Hub-Signature-256` is missing or wrong"),
    "another key": ("signed", b"{}", STRUCTURED | signature(b"{}", b"x"), 401, "the signature in"),
    "another body": ("signed", b"{} ", STRUCTURED | signature(b"{}"), 401, "the signature in"),
    "a token where a signature is wanted": ("signed", BASE, BEARER | STRUCTURED, 401, "the signature in"),
    "unsigned headers": (
        "signed",
        b"{}",
        {f"ce-{name}": value for name, value in BASE.items()} | signature(b"{}"),
        415,
        "a sender that signs can't use binary mode",
    ),
    "no content type": (
        "events",
        BASE,
        BEARER | {"Content-Type": "application/json"},
        415,
        "`Content-Type` is neither",
    ),
    "another encoding": (
        "events",
        b"x",
        BEARER | STRUCTURED | {"Content-Encoding": "br"},
        415,
        "`Content-Encoding` has to be one of gzip, deflate",
    ),
    "not what its encoding says": (
        "events",
        BASE,
        BEARER | STRUCTURED | GZIP,
        400,
        "the body is not gzip, as `Content-Encoding` says: ",
    ),
    "gzip cut short": ("events", PACKED[:-9], BEARER | STRUCTURED | GZIP, 400, "the body is not whole"),
    "gzip that is not said": ("events", PACKED, BEARER | STRUCTURED, 400, "not JSON: "),
    "a bomb": ("events", bomb(15_000_000), BEARER | STRUCTURED | GZIP, 413, "the body is larger than"),
    "a signature over what is unpacked": (
        "signed",
        PACKED,
        STRUCTURED | GZIP | signature(json.dumps(BASE).encode()),
        401,
        "the signature in",
    ),
    "a signed body that is not gzip": ("signed", b"{}", STRUCTURED | GZIP | signature(b"{}"), 400, "the body is not"),
    "no JSON": ("events", b"{", BEARER | STRUCTURED, 400, "not JSON: "),
    "no event": ("events", {**BASE, "id": ""}, BEARER | STRUCTURED, 400, "`id` is empty"),
    "one bad event of a batch": (
        "events",
        [BASE, {}],
        BEARER | {"Content-Type": "application/cloudevents-batch+json"},
        400,
        "event 1 of the batch: `specversion` is missing",
    ),
    "no kind": ("plain", {}, BEARER, 400, "`map.type`: "),
    "too large": ("events", b"x" * 20_001, BEARER | STRUCTURED, 413, "the body is larger than"),
}


@pytest.mark.parametrize(("sender", "body", "headers", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_as_a_whole_and_told_why(tmp_path, sender, body, headers, status, reason):
    """A 4xx with a sentence; nothing of the request reaches the inbox."""

    async def scenario():
        intake = IntakeConfig(payload_bytes_max=20_000)
        async with open_door(tmp_path, intake=intake) as running:
            answer = await running.post(sender, body, headers)
            assert answer[0] == status, answer
            assert answer[1]["error"].startswith(reason)
            assert running.events == []
            assert running.door.status().received_total == 0

    run(scenario)


def test_a_signed_body_and_a_mapped_one_are_accepted(tmp_path):
    """HMAC over the body opens the door; plain JSON is mapped, and its source names the sender."""

    async def scenario():
        async with open_door(tmp_path) as running:
            body = json.dumps(BASE).encode()
            assert (await running.post("signed", body, STRUCTURED | signature(body)))[0] == 202
            assert (await running.post("plain", {"kind": "gpu.hot"}))[0] == 202
            assert [(each.type, each.source) for each in running.events] == [
                ("training.step", "/train"),
                ("gpu.hot", "/http/plain"),
            ]

    run(scenario)


def test_compressed_bodies_are_events_like_all_others(tmp_path):
    """gzip and deflate, of every kind of sender; an HMAC is over the bytes as sent, and binary mode is unpacked too."""

    async def scenario():
        async with open_door(tmp_path) as running:
            body = json.dumps(BASE).encode()
            deflate = {"Content-Encoding": "deflate"}
            assert (await running.post("events", PACKED, BEARER | STRUCTURED | GZIP))[0] == 202
            assert (await running.post("events", zlib.compress(body), BEARER | STRUCTURED | deflate))[0] == 202
            assert (await running.post("events", body, BEARER | STRUCTURED | {"Content-Encoding": "identity"}))[
                0
            ] == 202
            assert (await running.post("signed", PACKED, STRUCTURED | GZIP | signature(PACKED)))[0] == 202
            binary = {f"ce-{name}": value for name, value in BASE.items()} | {"Content-Type": "application/json"}
            data = gzip.compress(b'{"loss": 1}')
            assert (await running.post("events", data, BEARER | GZIP | binary))[0] == 202
            assert (await running.post("plain", gzip.compress(b'{"kind": "gpu.hot"}'), BEARER | GZIP))[0] == 202
            assert [each.type for each in running.events] == ["training.step"] * 5 + ["gpu.hot"]
            assert running.events[4].data == {"loss": 1}
            assert running.door.status().received_bytes_total == 4 * len(body) + 11 + 19

    run(scenario)


def test_a_bomb_of_a_stranger_is_not_unpacked_and_one_of_a_sender_no_further_than_the_bound(tmp_path):
    """A gigabyte of zeros in a megabyte: 401 before, 413 after the proof, and the process has grown by neither."""

    async def scenario():
        packed = bomb(1_000_000_000)
        async with open_door(tmp_path) as running:
            assert (await running.post("events", packed, STRUCTURED | GZIP))[0] == 401
            tracemalloc.start()
            try:
                assert (await running.post("signed", packed, STRUCTURED | GZIP | signature(b"x")))[0] == 401
                answer = await running.post("events", packed, BEARER | STRUCTURED | GZIP)
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert answer[0] == 413
            assert peak_bytes < 20_000_000
            assert running.door.status().oversized_total == 1
            assert (await running.post("events", PACKED, BEARER | STRUCTURED | GZIP))[0] == 202

    run(scenario)


def test_what_a_body_grows_by_has_to_find_room(tmp_path):
    """Bytes in flight are those of what is held: 429 where the unpacked body does not fit beside the others."""

    async def scenario():
        packed = gzip.compress(json.dumps({**BASE, "data": "x" * 5_000}).encode())
        wait = {"commit": False, "durable_within": SECOND_US // 10, "intake": IntakeConfig(in_flight_bytes_max=12_000)}
        async with open_door(tmp_path, **wait) as running:
            answers = [await running.post("events", packed, BEARER | STRUCTURED | GZIP) for _ in range(4)]
            assert [each[0] for each in answers] == [503, 503, 429, 429]
            assert running.door.status().in_flight_bytes > 10_000
            await running.door.acknowledge(await running.inbox.receive(10))
            assert running.door.status().in_flight_bytes == 0

    run(scenario)


def test_an_encoding_that_is_not_read_is_answered_with_those_that_are(tmp_path):
    """`Accept-Encoding` beside 415, as RFC 9110 has it."""

    async def scenario():
        async with open_door(tmp_path) as running:
            headers = BEARER | STRUCTURED | {"Content-Encoding": "gzip, gzip"}
            status, _, beside = await running.post("events", PACKED, headers)
            assert (status, beside["Accept-Encoding"]) == (415, "gzip, deflate")

    run(scenario)


def test_past_its_rate_a_sender_is_told_when_to_come_again(tmp_path):
    """429 with Retry-After for that sender alone; a request without proof does not use up a signer's rate."""

    async def scenario():
        (tmp_path / "key").write_text("s3cret")
        key = str(tmp_path / "key")
        senders = (
            SenderConfig(name="slow", token_file=key, per_second_max=1, burst_max=2),
            SenderConfig(name="signed", hmac_file=key, per_second_max=1, burst_max=1),
        )
        async with open_door(tmp_path, senders=senders) as running:
            answers = [await running.post("slow", BASE, BEARER | STRUCTURED) for _ in range(3)]
            assert [each[0] for each in answers] == [202, 202, 429]
            assert answers[2][2]["Retry-After"] == "1"
            body = json.dumps(BASE).encode()
            codes = [
                (await running.post("signed", body, STRUCTURED | headers))[0]
                for headers in ({}, {}, signature(body), signature(body))
            ]
            assert codes == [401, 401, 202, 429]

    run(scenario)


@pytest.mark.parametrize("limit", ["requests", "bytes"])
def test_when_full_it_answers_429_and_takes_no_more(tmp_path, limit):
    """What is not committed is bounded by number and bytes, what its senders gave up on included."""

    async def scenario():
        body = json.dumps(BASE).encode()
        settings = {"requests_max": 3} if limit == "requests" else {}
        intake = IntakeConfig(in_flight_bytes_max=3 * len(body)) if limit == "bytes" else None
        wait = {"commit": False, "durable_within": SECOND_US // 10, "intake": intake}
        async with open_door(tmp_path, **wait, **settings) as running:
            answers = [(await running.post("events", body, BEARER | STRUCTURED)) for _ in range(5)]
            assert [each[0] for each in answers] == [503, 503, 503, 429, 429]
            assert answers[4][2]["Retry-After"] == "1"
            assert len(running.inbox) == 3
            await running.door.acknowledge(await running.inbox.receive(10))
            assert (await running.post("events", body, BEARER | STRUCTURED))[0] == 503

    run(scenario)


def test_paused_it_answers_503(tmp_path):
    """While the store takes nothing, senders are told at once."""

    async def scenario():
        async with open_door(tmp_path) as running:
            running.door.pause()
            status, answer, headers = await running.post("events", BASE, BEARER | STRUCTURED)
            assert (status, answer["error"], headers["Retry-After"]) == (503, "the store takes nothing at present", "1")
            running.door.resume()
            assert (await running.post("events", BASE, BEARER | STRUCTURED))[0] == 202

    run(scenario)


def test_a_body_without_a_length_is_cut_off_at_the_limit(tmp_path):
    """Chunked bodies are read up to the limit and no further."""

    async def scenario():
        async with open_door(tmp_path, intake=IntakeConfig(payload_bytes_max=10_000)) as running:

            async def endless():
                for _ in range(1_000):
                    yield b"x" * 1_000

            url = f"http://localhost:{running.port}/events/events"
            with suppress(aiohttp.ClientError, ConnectionError):
                async with running.session.post(url, data=endless(), headers=BEARER | STRUCTURED) as answer:
                    assert answer.status == 413
            await until_async(lambda: running.door.status().oversized_total == 1, what="it was refused")

    run(scenario)


HEAD = b"POST /events/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n"


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (HEAD, b""),
        (HEAD + b"Content-Length: 500\r\n\r\n{", b"HTTP/1.1 408"),
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_sender_that_dawdles_is_hung_up_on(tmp_path, sent, answered):
    """A silent connection, half a head and half a body each end in `body_within`, and hold nothing after."""

    async def scenario():
        async with open_door(tmp_path, body_within=SECOND_US // 5) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(sent)
            answer = b""
            with suppress(ConnectionResetError):
                answer = await asyncio.wait_for(reader.read(), 10)
            assert answer.startswith(answered)
            assert bool(answer) == bool(answered)
            writer.close()
            assert not running.door._connections.silent
            assert (running.door._reading.total(), running.door._bytes) == (0, 0)

    run(scenario)


def test_connections_past_the_limit_are_closed_at_once(tmp_path):
    """The limit is on connections, whatever they send; when one goes, another may come."""

    async def scenario():
        async with open_door(tmp_path, connections_max=3) as running:
            held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            for _, each in (*held, (reader, writer)):
                each.close()

            async def again():
                with suppress(aiohttp.ClientError):
                    return (await running.post("events", BASE, BEARER | STRUCTURED))[0]

            assert 202 in [await again() for _ in range(20)]

    run(scenario)


def test_over_tls_it_speaks_nothing_else(tmp_path):
    """With a certificate the door is HTTPS: a client that trusts its authority gets in, plain HTTP does not."""
    folder = make_certificates(tmp_path)
    trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))

    async def scenario():
        files = {"certificate_file": str(folder / "server.crt"), "key_file": str(folder / "server.key")}
        async with open_door(tmp_path, verify=trust, **files) as running:
            assert (await running.post("events", BASE, BEARER | STRUCTURED))[0] == 202
            with pytest.raises(aiohttp.ClientError):
                await running.session.post(f"http://localhost:{running.port}/events/events")

    run(scenario)


def test_a_taken_port_ends_the_door(tmp_path):
    """The daemon does not start half: the error names the address."""

    async def scenario():
        async with open_door(tmp_path) as running:
            second = HttpIntake(HttpConfig(port=running.port), IntakeConfig(), Inbox(), SystemClock())
            with pytest.raises(OSError, match=str(running.port)):
                await second.run()
            assert not second.status().connected

    run(scenario)


@pytest.mark.parametrize(
    ("senders", "reason"),
    [
        ((SenderConfig(name="a"),), "needs `token_file`, `hmac_file` or"),
        ((SenderConfig(name="a", token_file="SECRET"), SenderConfig(name="a", token_file="SECRET")), "have one name"),
        ((SenderConfig(name="a", token_file="SECRET", format="json"),), "`map` goes with"),
        ((SenderConfig(name="a", token_file="SECRET", map=EventMap(type="'x'")),), "`map` goes with"),
        (
            (SenderConfig(name="a", token_file="SECRET", format="json", map=EventMap(type="topic[")),),
            "sender `a`: `map.type`: ",
        ),
    ],
)
def test_a_config_that_does_not_do_stops_the_start(tmp_path, senders, reason, monkeypatch):
    """Missing secrets, names used twice and bad maps are said before anything listens."""
    (tmp_path / "SECRET").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=reason):
        HttpIntake(HttpConfig(senders=senders), IntakeConfig(), Inbox(), SystemClock())


def test_a_real_alertmanager_posts_its_alerts(tmp_path):
    """Real Alertmanager from Debian: an alert that it is given arrives as an event, with its labels."""
    binary = need("prometheus-alertmanager")
    port = free_port()

    async def scenario():
        async with open_door(tmp_path) as running:
            (tmp_path / "alertmanager.yml").write_text(
                "route: {receiver: halon, group_wait: 0s, group_interval: 1s}\n"
                "receivers:\n"
                "- name: halon\n"
                "  webhook_configs:\n"
                f"  - url: http://127.0.0.1:{running.port}/events/alertmanager\n"
                "    http_config: {authorization: {type: Bearer, credentials: s3cret}}\n"
            )
            argv = [
                binary,
                f"--config.file={tmp_path / 'alertmanager.yml'}",
                f"--storage.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ]
            with server(argv, log=tmp_path / "log", ready=lambda: b"Listening" in (tmp_path / "log").read_bytes()):
                alert = {"labels": {"alertname": "GpuHot", "gpu": "3"}, "annotations": {"summary": "hot"}}
                url = f"http://127.0.0.1:{port}/api/v2/alerts"
                async with running.session.post(url, json=[alert]) as answer:
                    assert answer.status == 200, await answer.text()
                await until_async(lambda: running.events, what="the alert has come")
            (event,) = running.events
            assert (event.type, event.subject, event.data["status"]) == ("service.alert", "GpuHot", "firing")
            assert event.data["labels"] == {"alertname": "GpuHot", "gpu": "3"}

    run(scenario)


@pytest.mark.parametrize("compression", list(Compression), ids=lambda each: each.value)
def test_a_real_sdk_of_opentelemetry_exports_a_call(tmp_path, compression):
    """The OTLP exporter of the Python SDK, in protobuf, is content, and the call arrives as an event."""

    def export(port):
        exporter = OTLPSpanExporter(
            endpoint=f"http://127.0.0.1:{port}/events/otel",
            headers={"authorization": "Bearer s3cret"},
            compression=compression,
        )
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span("chat llm-a", kind=SpanKind.CLIENT) as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.request.model", "llm-a")
            span.set_attribute("gen_ai.usage.output_tokens", 7)
            span.set_attribute("gen_ai.response.finish_reasons", ["stop"])
        provider.shutdown()

    async def scenario():
        sender = SenderConfig(name="otel", format="otlp", token_file=str(tmp_path / "secret"))
        async with open_door(tmp_path, senders=(sender,)) as running:
            await asyncio.to_thread(export, running.port)
            [event] = running.events
            assert (event.type, event.subject, event.source) == ("inference.response", "llm-a", "/http/otel/shop")
            data = event.data
            assert (data["completion_tokens"], data["finish_reason"], data["status"]) == (7, "stop", 200)
            assert data["latency_ms"] >= 0

    run(scenario)


def test_every_sample_of_a_producer_comes_through_the_door(tmp_path):
    """Each format as a sender, each sample with its headers: the events that stand beside it, from the sender."""

    async def scenario():
        secret = str(tmp_path / "secret")
        senders = tuple(SenderConfig(name=name, format=name, token_file=secret) for name in PRODUCERS)
        async with open_door(tmp_path, senders=senders) as running:
            for name, sample in SAMPLES.items():
                running.events.clear()
                headers = BEARER | sample.headers | {"Content-Type": sample.content_type}
                answer = await running.post(producer_of(name).name, sample.body.encode(), headers)
                expected = sample.expected()
                assert answer[:2] == (202, {"accepted": len(expected)}), name
                assert [(each.type, each.subject, each.data) for each in running.events] == [
                    (each.type, each.subject, each.data) for each in expected
                ], name

    run(scenario)


def test_of_what_a_program_sends_the_good_is_taken_and_the_rest_kept(tmp_path):
    """It can't be made to send better: the answer tells, and a dead letter keeps the message with its headers."""

    async def scenario():
        (tmp_path / "secret").write_text("s3cret\n")
        secret = str(tmp_path / "secret")
        senders = (
            SenderConfig(name="audit", format="kubernetes-audit", token_file=secret),
            SenderConfig(name="kserve", format="kserve", token_file=secret),
        )
        async with open_door(tmp_path, senders=senders) as running:
            good = {"auditID": "a", "stage": "ResponseComplete", "verb": "get"}
            body = {"kind": "EventList", "items": [good, {}, {**good, "auditID": "b"}]}
            reason = "`items[1]`: `auditID`, `stage` or `verb` is missing"
            answer = await running.post("audit", body)
            assert answer[:2] == (202, {"accepted": 2, "refused": 1, "reason": reason})
            assert [type(each).__name__ for each in running.events] == ["Event", "Event", "DeadLetter"]
            assert (running.events[-1].reason, running.events[-1].topic) == (reason, "http/audit")
            running.events.clear()
            headers = BEARER | {"ce-specversion": "1.0", "ce-type": "other", "Cookie": "c"}
            assert (await running.post("kserve", b"{}", headers))[0] == 400
            [letter] = running.events
            assert dict(letter.properties) == {"ce-specversion": "1.0", "ce-type": "other"}
            config = Config(http=HttpConfig(senders=senders))
            again = Received(
                door="http",
                token=0,
                topic=letter.topic,
                payload=letter.payload,
                received_us=1,
                size_bytes=letter.size_bytes,
                properties=letter.properties,
            )
            [still] = Formats(config).decode(again)
            assert still.reason == letter.reason

    run(scenario)


def test_a_webhook_that_mlflow_signs_opens_the_door(tmp_path):
    """By the headers that MLflow makes; a body that was changed on the way is refused."""

    async def scenario():
        key = b"a-secret-that-is-long-enough"
        (tmp_path / "key").write_bytes(key)
        signing = SignatureConfig(key_files=(str(tmp_path / "key"),), scheme="mlflow")
        sender = SenderConfig(name="mlflow", format="mlflow", signature=signing)
        async with open_door(tmp_path, senders=(sender,)) as running:
            body, now = SAMPLES["mlflow"].body.encode(), str(SystemClock().now_us() // SECOND_US)
            made = hmac.new(key, f"d-1.{now}.".encode() + body, hashlib.sha256).digest()
            headers = {
                "X-MLflow-Delivery-Id": "d-1",
                "X-MLflow-Timestamp": now,
                "X-MLflow-Signature": f"v1,{base64.b64encode(made).decode()}",
                "Content-Type": "application/json",
            }
            assert (await running.post("mlflow", body, headers))[:2] == (202, {"accepted": 1})
            assert (await running.post("mlflow", body + b" ", headers))[0] == 401
            assert (await running.post("mlflow", body, BEARER))[0] == 401
            assert "model.registered" in [each.type for each in running.events if isinstance(each, Event)]

    run(scenario)


def test_the_formats_of_topics_pass_on_what_the_door_decoded(tmp_path):
    """The pipeline's decoder takes the events as they are."""

    async def scenario():
        async with open_door(tmp_path, commit=False) as running:
            posting = asyncio.ensure_future(running.post("events", BASE, BEARER | STRUCTURED))
            (received,) = await running.inbox.receive(10)
            assert [each.id for each in Formats(Config()).decode(received)] == ["e-1"]
            await running.door.acknowledge([received])
            assert (await posting)[0] == 202

    run(scenario)


def test_what_a_sender_may_not_say_is_refused_and_told(tmp_path):
    """403 with the reason, nothing of the request is taken, and the violation is durable by then."""
    (tmp_path / "secret").write_text("s3cret\n")
    sender = SenderConfig(name="events", token_file=str(tmp_path / "secret"), may=MayConfig(types=("training.*",)))

    async def scenario():
        async with open_door(tmp_path, senders=(sender,)) as running:
            assert (await running.post("events", BASE, BEARER | STRUCTURED))[0] == 202
            batch = [{**BASE, "id": "e-2"}, {**BASE, "id": "e-3", "type": "credential.leaked"}]
            headers = BEARER | {"Content-Type": "application/cloudevents-batch+json"}
            status, answer, _ = await running.post("events", batch, headers)
            assert (status, answer) == (403, {"error": "the type `credential.leaked` is not among `may.types`"})
            assert [(each.type, each.subject) for each in running.events] == [
                ("training.step", None),
                ("halon.source.violation", "http/events"),
            ]

    run(scenario)


def sealed(body, secret=SECRET, seconds=None, message_id="msg_1"):
    """What a sender that signs puts beside a body."""
    now_s = SystemClock().now_us() // SECOND_US if seconds is None else seconds
    return STRUCTURED | signed(body, secret, message_id, now_s)


def test_a_sender_that_signs_is_believed_once_and_nobody_else_is(tmp_path):
    """202 for what is signed and for a second try that is signed again; 409 for a copy, 401 for the rest, both told."""

    async def scenario():
        (tmp_path / "key").write_text(SECRET)
        signature = SignatureConfig(key_files=(str(tmp_path / "key"),))
        senders = (SenderConfig(name="agents", signature=signature), SenderConfig(name="other", signature=signature))
        seen = set()
        body, now_s = json.dumps(BASE).encode(), SystemClock().now_us() // SECOND_US
        async with open_door(tmp_path, senders=senders, known=seen.__contains__) as running:

            async def post(headers, sender="agents"):
                status, answer, _ = await running.post(sender, body, headers)
                seen.update(each.identity for each in running.events if isinstance(each, Once))
                return status, answer.get("error", "")

            first = sealed(body, seconds=now_s)
            assert (await post(first))[0] == 202
            once, event = running.events
            assert (event.id, once.otherwise[0].data["cause"]) == ("e-1", "replayed")
            assert (await post(sealed(body, seconds=now_s - 1)))[0] == 202, "signed again: a second try"
            assert [type(each).__name__ for each in running.events[2:]] == ["Once", "Event"]
            running.events.clear()
            status, says = await post(first)
            assert (status, "came before" in says) == (409, True)
            assert (await post(first, "other"))[0] == 409, "a copy is a copy wherever it comes in"
            assert [(each.type, each.subject) for each in running.events] == [
                (VIOLATION, "http/agents"),
                (VIOLATION, "http/other"),
            ]
            assert running.events[0].data["cause"] == "replayed"
            for headers, says in (
                (STRUCTURED, "`webhook-id` is missing"),
                (sealed(body, OTHER), "no signature"),
                (sealed(b"{}"), "no signature"),
                (sealed(body, seconds=now_s - 10_000), "longer ago"),
            ):
                status, said = await post(headers)
                assert (status, says in said) == (401, True), said
            assert len(running.events) == 2, "anybody can make these: rules hear of one in ten seconds"
            binary = {f"ce-{name}": value for name, value in BASE.items()} | sealed(body, seconds=now_s - 2)
            binary["Content-Type"] = "application/json"
            assert (await post(binary))[0] == 415

    run(scenario)


def test_a_signature_may_stand_beside_a_token(tmp_path):
    """Then both are asked for, the token first."""

    async def scenario():
        (tmp_path / "key").write_text(SECRET)
        signature = SignatureConfig(key_files=(str(tmp_path / "key"),))
        senders = (SenderConfig(name="agents", token_file=str(tmp_path / "secret"), signature=signature),)
        async with open_door(tmp_path, senders=senders) as running:
            body = json.dumps(BASE).encode()
            statuses = [
                (await running.post("agents", body, headers))[0]
                for headers in (sealed(body), BEARER | STRUCTURED, BEARER | sealed(body))
            ]
            assert statuses == [401, 401, 202]

    run(scenario)


def test_who_is_not_proved_yet_takes_half_of_the_room_at_most(tmp_path):
    """Strangers who know the name of a sender that signs, and stall, keep only those out who sign."""

    async def scenario():
        async with open_door(tmp_path, requests_max=4, body_within=30 * SECOND_US) as running:
            stalled = []
            for _ in range(2):
                _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.write(b"POST /events/signed HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
                stalled.append(writer)
            await until_async(lambda: running.door._reading.total() == 2, what="two stall")
            assert (await running.post("signed", BASE, STRUCTURED))[0] == 429
            assert (await running.post("events", BASE, BEARER | STRUCTURED))[0] == 202
            for writer in stalled:
                writer.close()
                await writer.wait_closed()

    run(scenario)
