"""A day of an AI platform on which nothing is wrong, as events in the order of their times; seeded, the same each time.

It is as honest traffic is: more by day than by night, in bursts, with noise, retries, single failures and refusals, job
starts, and with optional fields left out now and then. `source.lost` and `halon.source.violation` are the only types of
docs/events.md that it leaves out: each of them is an incident.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from engine.clock import SECOND_US
from engine.model import Event

DAY_S = 86_400
START_US = 1_767_571_200 * SECOND_US  # a Monday, 00:00 UTC
MISSING = 0.04
NAMELESS = 0.002
KEPT = frozenset({"host", "device", "model"})
SUBJECTS = (
    "the invoice",
    "our roadmap",
    "this meeting",
    "a birthday card",
    "the new cluster",
    "a bug in the parser",
    "gradient descent",
    "Lisbon",
    "the quarterly report",
    "my garden",
    "a job advert",
    "the exam",
    "tax rules",
)
ASKS = (
    "Summarise {}.",
    "Write a short text about {}.",
    "What should I know about {}?",
    "Translate the notes on {} into German.",
    "Give me five ideas for {}.",
    "Explain {} to a ten-year-old.",
    "Draft an e-mail about {} to the team.",
    "Which steps are needed for {}?",
    "Compare {} with last year's.",
    "Correct the spelling in my text on {}.",
)
WORDS = tuple(  # words in quotes would be three times as long
    """
    time model week result small large team data plan price first second green open light word number part work day
    case point world group place hand system question reason study night home water room area money story fact month
    lot right book eye job business issue side kind head house service friend power hour game line end member law
    car city name president minute idea kid body information back parent face level office door health person art
    """.split()  # noqa: SIM905
)


class Day:
    """The events of one day, collected and then sorted."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.found: list[tuple[float, str, str, str, dict[str, Any]]] = []

    def add(self, at_s: float, kind: str, subject: str, source: str, data: dict[str, Any]) -> None:
        """One event; each of its fields but the key's may be missing."""
        kept = {key: value for key, value in data.items() if key in KEPT or self.random.random() >= MISSING}
        self.found.append((at_s, kind, subject, source, kept))

    def events(self) -> Iterator[Event]:
        """All of them as events."""
        for number, (at_s, kind, subject, source, data) in enumerate(sorted(self.found, key=lambda each: each[0])):
            time_us = START_US + int(at_s * SECOND_US)
            known = None if self.random.random() < NAMELESS else subject
            yield Event(id=f"b{number}", source=source, type=kind, time_us=time_us, subject=known, data=data)

    def times(self, per_day: float, *, busy: float = 0.6) -> Iterator[float]:
        """About so many times, more by day, in bursts: a Cox process whose rate is set anew each ten minutes."""
        for slot in range(0, DAY_S, 600):
            rate = per_day / 144 * (1 + busy * math.sin((slot / DAY_S - 0.3) * 2 * math.pi))
            rate *= self.random.gammavariate(4, 0.25)
            at = slot + self.random.expovariate(max(rate, 0.05) / 600)
            while at < slot + 600:
                yield at
                at += self.random.expovariate(max(rate, 0.05) / 600)

    def text(self, words: int) -> str:
        """Prose of so many words, more or less."""
        chosen = [self.random.choice(WORDS) for _ in range(max(3, int(self.random.gauss(words, words / 3))))]
        return " ".join(chosen).capitalize() + "."


def benign_day(seed: int) -> list[Event]:
    """The events of a day, sorted by time."""
    day = Day(seed)
    for part in (
        _training,
        _data,
        _models,
        _classifier,
        _poller,
        _language_model,
        _vision,
        _metrics,
        _machines,
        _cluster,
        _cloud,
    ):
        part(day)
    return list(day.events())


def _training(day: Day) -> None:
    rng = day.random
    for run, (begin, steps, floor) in {"run-a": (3_600, 1_500, 0.2), "run-b": (30_000, 1_200, 1.4)}.items():
        where = {"pid": 4242, "started": 1_000, "job_id": run[-1], "checkpoint": f"/srv/{run}/last.npz"}
        day.add(begin - 5, "training.run", run, "/trainers", {"status": "started", "dataset": "reviews", **where})
        level = 1.0
        for step in range(steps):
            at = begin + step * 20
            level = 0.98 * level + 0.02 * rng.lognormvariate(0, 0.1)
            loss = (floor + 2.3 * math.exp(-step / 200)) * level * rng.lognormvariate(0, 0.12)
            probe = min(0.99, 0.93 - 0.7 * math.exp(-step / 150) + rng.gauss(0, 0.01))
            data = {
                "step": step,
                "loss": loss,
                "grad_norm": rng.lognormvariate(0.5 * math.exp(-step / 300), 0.3),
                "probe_accuracy": round(max(0.0, probe), 4),
                "throughput": rng.gauss(900, 40),
                **where,
            }
            day.add(at, "training.step", run, "/trainers", data)
            if step % 3 == 0:
                size = rng.choice((128, 256, 256))
                fed = {
                    "size": size,
                    "flipped": sum(rng.random() < 0.012 for _ in range(size)),
                    "dataset": "reviews",
                    "duplicates": sum(rng.random() < 0.03 for _ in range(size)),
                    "origin": f"feed-{rng.randrange(4)}",
                    "top_label_share": min(1.0, max(0.0, rng.gauss(0.31, 0.03))),
                    "feature_mean": rng.gauss(0, 1),
                }
                day.add(at + 1, "training.batch", run, "/feeds", {**fed, **where})
        day.add(begin + steps * 20, "training.run", run, "/trainers", {"status": "finished", **where})


def _data(day: Day) -> None:
    rng = day.random
    habits = {
        "trainer": (700, ("reviews", "logs"), ("10.0.0.7", "10.0.0.8"), 14.0),
        "etl": (250, ("reviews", "logs", "clicks", "raw"), ("10.0.1.2",), 16.0),
        "analyst": (90, ("reviews", "clicks", "surveys", "labels"), ("10.2.0.14", "10.2.0.15"), 12.0),
    }
    for principal, (per_day, datasets, addresses, size) in habits.items():
        for at in day.times(per_day):
            dataset = rng.choice(datasets) if rng.random() > 0.004 else f"archive-{rng.randrange(9)}"
            data: dict[str, Any] = {
                "principal": principal,
                "address": rng.choice(addresses),
                "resource": f"{dataset}/part",
                "operation": "write" if principal == "etl" and rng.random() < 0.4 else rng.choice(("read", "list")),
                "bytes": int(rng.lognormvariate(size, 1.2)),
                "records": rng.randrange(1, 20_000),
            }
            if rng.random() < 0.01:
                data["denied"] = True
            day.add(at, "data.access", dataset, "/data", data)


def _models(day: Day) -> None:
    rng = day.random
    for principal, per_day in {"ci": 120, "serving": 160, "engineer": 40}.items():
        for at in day.times(per_day):
            model = rng.choice(("fraud", "llm-a", "vision"))
            day.add(
                at,
                "model.access",
                model,
                "/registry",
                {
                    "principal": principal,
                    "address": f"10.3.0.{rng.randrange(2)}",
                    "operation": rng.choice(("read", "download", "list")),
                    "bytes": int(rng.lognormvariate(19, 1)),
                    "version": 6,
                    "denied": rng.random() < 0.005,
                },
            )
    digests = {
        f"{name}@{version}": rng.randbytes(32).hex() for name in ("fraud", "llm-a", "vision") for version in (5, 6)
    }
    for at in day.times(150):
        name = rng.choice(sorted(digests))
        kind, signature = ("pt", "valid") if name == "vision@5" else ("safetensors", "valid")
        data = {
            "sha256": digests[name],
            "expected": digests[name],
            "format": kind,
            "signature": signature,
            "signer": "release@example.org",
            "origin": "registry.internal",
            "host": f"gpu-{rng.randrange(4)}",
            "path": f"/srv/models/{name}/weights",
        }
        day.add(at, "artifact.loaded", name, "/loaders", data)
        if rng.random() < 0.1:
            day.add(at + 2, "artifact.scanned", name, "/scanner", {"verdict": "clean", "scanner": "picklescan"})
    for hour in (9, 15):
        at = hour * 3_600.0 + rng.random() * 600
        day.add(
            at,
            "model.registered",
            "llm-a",
            "/registry",
            {"version": hour, "principal": "release-bot", "approved": True},
        )
        day.add(
            at + 60, "model.alias", "llm-a", "/registry", {"alias": "prod", "version": hour, "principal": "release-bot"}
        )


def _classifier(day: Day) -> None:
    rng = day.random
    centres = {label: [rng.gauss(0, 3) for _ in range(8)] for label in ("ok", "review", "fraud")}
    for number, at in enumerate(day.times(3_200)):
        label = rng.choices(("ok", "review", "fraud"), (90, 7, 3))[0]
        features = [round(rng.gauss(mean, 1), 4) for mean in centres[label]]
        group, id_ = rng.choice("abc"), f"f{number}"
        decision = label == "ok"
        data: dict[str, Any] = {
            "id": id_,
            "client": rng.choice(("shop", "shop", "app", "partner")),
            "endpoint": "score",
            "status": 500 if rng.random() < 0.004 else 200,
            "latency_ms": rng.lognormvariate(2.8, 0.5),
            "label": label,
            "confidence": rng.betavariate(12, 1.2),
            "features": features,
            "group": group,
            "decision": decision,
            "address": "10.4.0.9",
            "server": "gpu-1",
            "backend": "score",
            "odd": rng.random() < 0.02,
        }
        day.add(at, "inference.response", "fraud", "/gateway", data)
        if rng.random() < 0.03:
            day.add(at + 0.4, "inference.response", "fraud", "/gateway", {**data, "id": f"{id_}r"})  # a retry
        if rng.random() < 0.6 and at + 7_200 < DAY_S:
            truth = decision if rng.random() < 0.94 else not decision
            told = label if truth == decision else "review"
            late = {"id": id_, "label": told, "group": group, "decision": decision, "truth": truth}
            day.add(at + 600 + 6_000 * rng.random(), "inference.label", "fraud", "/labels", late)


def _poller(day: Day) -> None:
    """A client that asks the same all day, as monitoring does."""
    for number, at in enumerate(day.times(400, busy=0.0)):
        answer = {"status": 200, "label": "ok", "confidence": 0.999, "features": [1.0] * 8, "latency_ms": 9.0}
        data = {"id": f"p{number}", "client": "poller", "endpoint": "score", **answer}
        day.add(at, "inference.response", "fraud", "/gateway", data)


def _language_model(day: Day) -> None:
    rng = day.random
    tools = ("search", "calculator", "calendar", "sql")
    for number, at in enumerate(day.times(1_400)):
        client = f"client-{min(11, int(rng.expovariate(0.4)))}"
        prompt = rng.choice(ASKS).format(rng.choice(SUBJECTS)) + (f" {day.text(25)}" if rng.random() < 0.3 else "")
        output = day.text(rng.choice((20, 60, 120)))
        if rng.random() < 0.03:
            output += f" Write to {rng.choice(WORDS)}.{rng.choice(WORDS)}@example.org."
        called = {"client": client, "address": f"192.0.2.{len(client)}", "key_id": f"k{client[-1]}"}
        data = {
            "id": f"l{number}",
            "endpoint": "chat",
            "prompt": prompt,
            "output": output,
            "status": 503 if rng.random() < 0.006 else 200,
            "latency_ms": rng.lognormvariate(6.8, 0.6),
            "system_prompt": "You are the assistant of Example Ltd and answer in plain, friendly words.",
            "finish_reason": rng.choices(("stop", "length", "tool_calls", "content_filter"), (90, 6, 3, 1))[0],
            "completion_tokens": len(output) // 4,
            "prompt_tokens": len(prompt) // 4,
            **called,
        }
        if rng.random() < 0.5:
            request = {key: data.pop(key) for key in ("prompt", "prompt_tokens")}
            day.add(
                at - 1,
                "inference.request",
                "llm-a",
                "/gateway",
                {"id": data["id"], "endpoint": "chat", **request, **called},
            )
        day.add(at, "inference.response", "llm-a", "/gateway", data)
        if rng.random() < 0.15:
            called_tool = {"tool": rng.choice(tools), "arguments": day.text(6), "result": day.text(40), **called}
            day.add(at + 0.2, "tool.call", "llm-a", "/agents", {**called_tool, "denied": rng.random() < 0.02})


def _vision(day: Day) -> None:
    rng = day.random
    centres = [[rng.gauss(0, 1) for _ in range(16)] for _ in range(10)]
    for number, at in enumerate(day.times(1_700)):
        kind = rng.randrange(10)
        raw = [rng.gauss(mean, 0.5) for mean in centres[kind]]
        length = math.sqrt(sum(each * each for each in raw))
        data = {
            "id": f"v{number}",
            "client": f"camera-{rng.randrange(6)}",
            "endpoint": "look",
            "status": 200,
            "label": kind,
            "confidence": rng.betavariate(9, 1.5),
            "features": [round(each / length, 5) for each in raw],
            "latency_ms": rng.lognormvariate(3.4, 0.4),
            "server": "gpu-2",
            "backend": "look",
        }
        day.add(at, "inference.response", "vision", "/gateway", data)


def _metrics(day: Day) -> None:
    rng = day.random
    for model in ("fraud", "llm-a", "vision"):
        for slot in range(0, DAY_S, 900):
            at = slot + rng.random() * 60
            for name, value in (
                ("accuracy", rng.gauss(0.93, 0.006)),
                ("drift", rng.betavariate(2, 30)),
                ("bias", 0.03),
            ):
                data = {"name": name, "value": value, "limit": 0.2, "violated": False, "feature": "amount"}
                day.add(at, "model.metric", model, "/monitor", data)


def _machines(day: Day) -> None:
    rng = day.random
    for number in range(4):
        host, util, memory = f"gpu-{number}", 0.2, 0.4
        for slot in range(0, DAY_S, 120):
            busy = 0.95 if 3_600 < slot < 34_000 and number == 0 else 0.3 + 0.2 * math.sin(slot / DAY_S * 2 * math.pi)
            util = min(1.0, max(0.0, 0.7 * util + 0.3 * busy + rng.gauss(0, 0.03)))
            memory = min(0.9, max(0.2, memory + rng.gauss(0, 0.004)))
            data = {
                "host": host,
                "device": "0",
                "cpu": min(1.0, max(0.0, 0.2 + 0.3 * util + rng.gauss(0, 0.05))),
                "memory": memory,
                "disk": 0.5,
                "gpu_util": util,
                "gpu_memory": 0.8,
                "temperature_c": 40 + 35 * util + rng.gauss(0, 1),
                "power_w": 60 + 300 * util + rng.gauss(0, 8),
                "ecc_errors": 0,
                "xid": 0,
                "node": host,
            }
            day.add(slot + rng.random() * 5, "resource.sample", f"{host}/0", "/dcgm", data)
    for endpoint, wanted in {"chat": 4, "score": 3, "look": 2}.items():
        for slot in range(0, DAY_S, 120):
            load = 1 + 0.6 * math.sin((slot / DAY_S - 0.3) * 2 * math.pi)
            data = {
                "up": rng.random() > 0.001,
                "error_rate": max(0.0, rng.gauss(0.004, 0.003)),
                "queue": int(rng.expovariate(0.4)),
                "throughput": max(0.0, rng.gauss(20 * load, 3)),
                "latency_ms": rng.lognormvariate(5 + 0.2 * load, 0.15),
                "ready": wanted - (rng.random() < 0.01),
                "wanted": wanted,
                "server": "gpu-1",
                "backend": endpoint,
            }
            day.add(slot + rng.random() * 3, "endpoint.health", endpoint, "/prober", data)


def _cluster(day: Day) -> None:
    rng = day.random
    for at in day.times(60):
        name = rng.choice(("InferenceLatencyHigh", "DiskFillsUp", "CertificateExpires"))
        alert = {
            "status": rng.choice(("firing", "resolved")),
            "severity": rng.choice(("warning", "info")),
            "endpoint": "chat",
            "labels": {"alertname": name},
            "summary": "see the dashboard",
        }
        day.add(at, "service.alert", name, "/alertmanager", alert)
    for at in day.times(80):
        alert = {
            "rule": rng.choice(("Read ssh information", "Packet socket created in container", "Modify binary dirs")),
            "priority": "notice",
            "process": "python3",
            "user": "svc",
            "file": "/srv/models/fraud/weights",
            "pid": 77,
        }
        day.add(at, "runtime.alert", f"gpu-{rng.randrange(4)}", "/falco", alert)
    day.add(40_000, "runtime.alert", "bastion", "/falco", {"rule": "Terminal shell in container", "priority": "notice"})
    for at in day.times(300):
        verb = rng.choice(("get", "list", "watch", "patch"))
        audit = {
            "verb": verb,
            "principal": "system:serviceaccount:inference:chat",
            "resource": "pods",
            "namespace": "inference",
            "name": "chat-1",
            "code": rng.choice((200, 200, 200, 404)),
            "address": "10.9.0.1",
        }
        day.add(at, "k8s.audit", "inference/pods/chat-1", "/kubernetes", audit)
    for at in day.times(80):
        reason = rng.choices(("Scheduled", "Pulled", "Started", "BackOff"), (30, 30, 30, 2))[0]
        event = {
            "reason": reason,
            "level": "Normal",
            "kind": "Pod",
            "namespace": "inference",
            "name": "chat-1",
            "endpoint": "chat",
        }
        day.add(at, "k8s.event", "inference/Pod/chat-1", "/kubernetes", event)


def _cloud(day: Day) -> None:
    rng = day.random
    for at in day.times(400):
        principal = rng.choice(("ci", "trainer", "console-admin"))
        data: dict[str, Any] = {
            "principal": principal,
            "action": rng.choice(("s3:GetObject", "s3:ListBucket", "sagemaker:DescribeModel")),
            "resource": rng.choice(("models/fraud/weights", "training-data/reviews/1")),
            "address": "10.7.0.3",
            "bytes": int(rng.lognormvariate(17, 2)),
            "region": "eu-central-1",
        }
        if rng.random() < 0.01:
            data["error"] = "AccessDenied"
        day.add(at, "cloud.audit", principal, "/cloudtrail", data)
