"""A broker, a target and a daemon under faults: `Siege` feeds a trace, and compares what came of it with the core's.

What must be equal: incidents (type, key, rule, id, and with it the event that completed each), intents (id, action,
parameters), and at the target exactly one effect for each intent. `tests/faults` holds the scenarios.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.clock import SECOND_US, SystemClock
from engine.model import Incident, Intent
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.target import Target
from tests.support.trace import MESSAGE_EVENTS, Trace, rules_text
from tests.support.wait import until

FIRST_MESSAGES = 1
"""The messages whose events set timers; they go before any fault."""
SETTLED_S = 120.0
_TOPIC = "halon/events/trace"


class Siege:
    """`with Siege(tmp_path) as siege:` has all parts running, the broker and the daemon on real sockets."""

    def __init__(self, folder: Path, *, through: Callable[[int], int] = lambda port: port, seed: int = 1) -> None:
        self.broker = Mosquitto(folder)
        self.target = Target()
        self._folder = folder
        self._through = through
        self._seed = seed
        self._publishers: list[threading.Thread] = []
        self._failed: list[BaseException] = []
        self._expected: tuple[list[Incident], list[Intent]] | None = None

    def __enter__(self) -> "Siege":
        self.broker.start()
        self.target.__enter__()
        self.halon = Daemon(
            self._folder,
            port=self._through(self.broker.port),
            rules=rules_text(self.target.url),
            config=self.target.origin,
            intake="batch_events_max = 8\nlateness_max = '1m'",
        )
        try:
            self.halon.start()
        except BaseException:
            self.__exit__()
            raise
        self.trace = Trace(SystemClock().now_us(), seed=self._seed)
        return self

    def __exit__(self, *exc: object) -> None:
        self.halon.close()
        self.target.__exit__()
        self.broker.stop()
        for each in self._publishers:
            each.join(30)

    # --- Feeding ----------------------------------------------------------------------------------------------------

    def feed(self, messages: Sequence[bytes]) -> None:
        """Publish, and return when the broker has them."""
        publish(self.broker.port, [(_TOPIC, each) for each in messages])

    def feed_timers(self, messages: Sequence[bytes], *, times: int = 1) -> Sequence[bytes]:
        """Publish what sets timers and wait until it is durable, so that no fault delays that; the other messages."""
        self.feed([each for each in messages[:FIRST_MESSAGES] for _ in range(times)])
        until(
            lambda: self.halon.events_committed() >= FIRST_MESSAGES * MESSAGE_EVENTS,
            what="the events that set timers are durable",
        )
        late_us = SystemClock().now_us() - self.trace.base_us
        assert late_us < 14 * SECOND_US, "this machine is too busy: the timers came due before they were set"
        return messages[FIRST_MESSAGES:]

    def feed_behind(self, messages: Sequence[bytes]) -> None:
        """Publish in a thread of its own."""

        def work() -> None:
            try:
                self.feed(messages)
            except BaseException as problem:  # noqa: BLE001  # handed to the test
                self._failed.append(problem)

        thread = threading.Thread(target=work, name="publisher")
        thread.start()
        self._publishers.append(thread)

    # --- Judging ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until everything is durable, every timer has fired and every step is settled."""
        for each in self._publishers:
            each.join(SETTLED_S)
        assert not self._failed, self._failed
        until(
            lambda: self.halon.events_committed() == len(self.trace.events),
            within_s=SETTLED_S,
            what=f"all events are durable\n{self.halon.tail(8)}",
        )
        until(
            lambda: SystemClock().now_us() > self.trace.base_us + 18 * SECOND_US, within_s=60, what="all timers are due"
        )
        opened, intents = len(self.expected[0]), len(self.expected[1])
        until(
            lambda: self._count("incidents") >= opened and self._count("intents") >= intents,
            within_s=SETTLED_S,
            what="all incidents and intents are there",
        )
        until(lambda: not self.halon.unsettled(), within_s=SETTLED_S, what="every step is settled")

    def judge(self) -> None:
        """Everything is as the core makes it without a fault, and each effect came about once."""
        self.settle()
        opened, intents = self.expected
        found = {tuple(row) for row in self.halon.rows("SELECT id, incident FROM incidents")}
        wanted = {(each.id, each.incident) for each in opened}
        assert found == wanted, f"missing {sorted(wanted - found)}, too many {sorted(found - wanted)}"
        states = dict(self.halon.intents())
        assert states.keys() == {each.id for each in intents}
        others = {name: state for name, state in states.items() if state != "verified"}
        assert not others, f"steps that were not verified: {others}\n{self.halon.tail()}"
        names = [str(each.params["url"]).rpartition("/")[2] for each in intents]
        assert len(set(names)) == len(names)
        assert dict(self.target.effects) == dict.fromkeys(names, 1), "each effect exactly once"
        beyond = ("contained", "investigating", "recovering")
        standing = self.halon.rows("SELECT id, state, contained_us FROM incidents")
        fallen = [each for each in standing if each[1] not in beyond or each[2] is None]
        assert fallen == [], "each was contained, and stays so"
        assert self.halon.run_command("audit", "verify").returncode == 0

    @property
    def expected(self) -> tuple[list[Incident], list[Intent]]:
        """The incidents and intents that the core makes of the trace in its order."""
        if self._expected is None:
            self._expected = self.trace.expected(self.target.url)
        return self._expected

    def expect_order(self, order: Sequence[dict[str, Any]]) -> None:
        """Expect what the core makes of the events in another order."""
        self._expected = self.trace.expected(self.target.url, order)

    def _count(self, table: str) -> int:
        return int(self.halon.one(f"SELECT count(*) FROM {table}") or 0)
