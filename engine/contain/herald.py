"""Notices that wait in the outbox to notices that were sent, by the action `notify`; `engine.contain.service` calls it.

At least once: the action records what a service took before it says so, and is asked for that first. What does not get
through is tried again with growing pauses, then given up, which is logged, counted, and part of its incident's story.
"""

import structlog

from engine.clock import SECOND_US
from engine.contain.calls import Calls, Doubtful
from engine.contain.environment import Environment
from engine.contain.slots import URGENT
from engine.model import AlreadyInPlace, Applied, Failed, InForce, IntentId, Json, Refused
from engine.store import audit, happenings, notices
from engine.store.connection import Connection
from engine.store.happenings import What
from engine.store.notices import Notice, NoticeState

ACTION = "notify"
TRIES_MAX = 6
PAUSE_S = 30
"""After the first try that failed; doubled after each further one: the last is a quarter of an hour later."""

_log = structlog.get_logger(__name__)


class Herald:
    """Sends notices."""

    def __init__(self, environment: Environment, calls: Calls) -> None:
        self._environment = environment
        self._calls = calls

    async def waiting(self) -> list[Notice]:
        """Those to be sent now."""
        now_us = self._environment.clock.now_us()
        return await self._environment.store.read(lambda connection: notices.waiting(connection, now_us))

    async def send(self, notice: Notice) -> None:
        """Try to send one, and write down what came of it."""
        failure = await self._try(notice)
        now_us = self._environment.clock.now_us()
        tries = notice.tries + 1
        if failure is None:
            state, detail = NoticeState.SENT, f"{notice.channel} took it"
        else:
            final = not failure.retryable or tries >= TRIES_MAX
            state, detail = NoticeState.FAILED if final else NoticeState.WAITING, failure.error
        next_us = now_us + PAUSE_S * SECOND_US * 2 ** (tries - 1)

        def commit(connection: Connection) -> None:
            notices.change(connection, notice.id, state, next_us=next_us, tries=tries, detail=detail)
            if state is NoticeState.WAITING:
                return
            what = What.NOTICE_SENT if state is NoticeState.SENT else What.NOTICE_FAILED
            body: dict[str, Json] = {"notice": notice.id, "channel": notice.channel, "title": notice.title}
            happenings.put(connection, notice.incident, what, at_us=now_us, reason=detail, body=body)
            record = {"incident": notice.incident, "tries": tries, "detail": detail, **body}
            audit.append(connection, f"notice.{state.value}", now_us, record)

        await self._environment.store.write(commit)
        say = _log.info if state is NoticeState.SENT else _log.error
        say(
            f"notice {'sent' if failure is None else 'not sent'}",
            incident=notice.incident,
            channel=notice.channel,
            title=notice.title,
            detail=detail,
            given_up=state is NoticeState.FAILED,
        )

    async def _try(self, notice: Notice) -> Failed | None:
        """Why it was not sent, or None."""
        call = self._calls.prepare(
            ACTION,
            {"channel": notice.channel, "title": notice.title, "body": notice.body, "level": notice.level},
            intent=IntentId(notice.id),
            incident=notice.incident,
            priority=URGENT,
            timeout_us=self._environment.contain.step_timeout,
        )
        if isinstance(call, Refused):
            return Failed(call.reason)
        plan = await self._calls.check(call)
        match plan:
            case Refused(reason=reason):
                return Failed(reason)
            case Failed():
                return plan
        answer = await self._calls.apply(call, plan)
        match answer:
            case Refused(reason=reason):
                return Failed(reason)
            case Failed(error=error) | Doubtful(reason=error):
                # Asking the record before the next try keeps one that got through from being sent again.
                sent = isinstance(await self._calls.verify(call, plan.receipt), InForce)
                return None if sent else Failed(error, retryable=True)
            case Applied() | AlreadyInPlace():
                return None
