"""The head of the audit chain to where this machine can't take it back: published retained, in time or number.

Whoever rewrites the chain or cuts its tail cannot rewrite what a broker elsewhere, and its subscribers, have heard:
`halon audit verify --anchor` holds the chain to it. `engine.app` runs it beside the pipeline.
"""

from collections.abc import Callable

import msgspec

from engine import logs
from engine.clock import SECOND_US, Clock, format_time
from engine.cloudevents import SPEC_VERSION
from engine.config import AuditConfig, Config
from engine.intake.contract import Publisher, PublishError
from engine.store import audit
from engine.store.audit import Anchor
from engine.store.database import Store
from engine.store.errors import StoreError

LOOK_S = 2.0
"""How often the head is looked at: the delay of `anchor_records`."""
TYPE = "halon.audit.anchor"

_log = logs.get_logger(__name__)


class Anchoring:
    """Publishes the head over a broker of the daemon's own."""

    def __init__(
        self, store: Store, clock: Clock, *, config: Callable[[], Config], publisher: Callable[[str], Publisher | None]
    ) -> None:
        """`config` gives the config in force, `publisher` the door to a broker by its name."""
        self._store = store
        self._clock = clock
        self._config = config
        self._publisher = publisher
        self._place: tuple[str, str] | None = None
        self._told: Anchor | None = None
        self._told_s = 0.0
        self._problem = ""

    async def run(self) -> None:
        """Publish whenever it is time, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep_s(LOOK_S)

    async def look(self) -> None:
        """Publish the head if it is time."""
        config = self._config()
        wanted = config.audit
        if not wanted.anchor_topic:
            return
        broker = wanted.anchor_broker or (config.mqtt[0].name if config.mqtt else "")
        if self._place != (broker, wanted.anchor_topic):
            self._place, self._told = (broker, wanted.anchor_topic), None
        try:
            head = await self._store.read(audit.anchor)
        except StoreError:
            return  # the pipeline says so; the next look comes soon
        if not self._is_time(wanted, head):
            return
        publisher = self._publisher(broker)
        if publisher is None:
            self._say(f"`audit.anchor_broker`: there is no broker `{broker}` under [[mqtt]]")
            return
        try:
            await publisher.publish(wanted.anchor_topic, self._message(config, broker, head), retain=True)
        except PublishError as error:
            self._say(str(error))
            return
        self._told, self._told_s = head, self._clock.monotonic_s()
        self._say("")

    def _is_time(self, config: AuditConfig, head: Anchor) -> bool:
        """The first head is told at once, so that a restart does not leave a gap."""
        if self._told is None:
            return True
        if head == self._told:
            return False
        passed_s = self._clock.monotonic_s() - self._told_s
        # A head that went back is told at once, too: subscribers see that records are gone.
        return not 0 < head.seq - self._told.seq < config.anchor_records or passed_s >= config.anchor_every / SECOND_US

    def _message(self, config: Config, broker: str, head: Anchor) -> bytes:
        client = next((each.client_id for each in config.mqtt if each.name == broker), "halon")
        return msgspec.json.encode(
            {
                "specversion": SPEC_VERSION,
                "id": f"{client}-{head.seq}-{head.hash[:16]}",
                "source": f"/halon/{client}",
                "type": TYPE,
                "subject": client,
                "time": format_time(self._clock.now_us()),
                "data": {"records": head.seq, "head": head.hash},
            }
        )

    def _say(self, problem: str) -> None:
        """A change for the worse, or back, once."""
        if problem and problem != self._problem:
            _log.warning("the head of the audit log is not published", reason=problem)
        elif self._problem and not problem:
            _log.info("the head of the audit log is published again")
        self._problem = problem
