"""Notices from the outbox to the action that sends them: what gets through, what is tried again, what is given up."""

import pytest

from engine.action import Action, Params
from engine.contain.herald import TRIES_MAX
from engine.model import Applied, Failed, InForce, NotInForce, Plan, Refused, Target
from engine.store import happenings, notices
from engine.store.happenings import What
from engine.store.notices import Notice, NoticeState
from tests.support.acting import START_US, acting, incident, run


class NoticeParams(Params, frozen=True):
    """As `notify` has them."""

    channel: str
    title: str
    body: str = ""
    level: str = "warning"


def service(script, taken):
    """The action `notify`, whose service answers as `script` says, and then takes everything into `taken`."""

    class Send(Action[NoticeParams]):
        """Sends."""

        name = "notify"
        params = NoticeParams
        target_kind = "evidence"
        reversible = False
        privileges = "none"
        example = '{ do = "notify", channel = "c", title = "t" }'

        async def check(self, params, context):
            if params.channel == "nobody":
                return Refused("there is no channel `nobody`")
            return Plan(Target("evidence", "notice"), would="send it")

        async def apply(self, params, plan, context):
            what = script.pop(0) if script else "ok"
            if what == "fail":
                return Failed("it did not take the notice")
            taken.append((params.channel, params.title, context.intent))
            return Failed("the answer was lost") if what == "lost" else Applied({})

        async def verify(self, params, receipt, context):
            return InForce() if any(each[2] == context.intent for each in taken) else NotInForce()

    return Send


async def put(it, channel="on-call"):
    """A notice that waits."""
    notice = Notice(
        id="inc-1.contain.1",
        incident=incident().id,
        channel=channel,
        title="late",
        body="",
        level="warning",
        state=NoticeState.WAITING,
        made_us=START_US,
        next_us=START_US,
    )
    await it.store.write(lambda db: notices.put(db, notice))


async def outcome(it):
    """State and tries of the notice, and what of it happened to the incident."""
    [notice] = await it.store.read(lambda db: notices.of_incident(db, incident().id))
    found = await it.store.read(lambda db: happenings.of_incident(db, incident().id))
    return notice.state, notice.tries, [each.what for each in found]


@pytest.mark.parametrize(
    ("script", "channel", "seconds", "expected", "sent"),
    [
        ([], "on-call", 3, (NoticeState.SENT, 1, [What.NOTICE_SENT]), 1),
        (["fail", "fail"], "on-call", 120, (NoticeState.SENT, 3, [What.NOTICE_SENT]), 1),
        (["lost"], "on-call", 60, (NoticeState.SENT, 1, [What.NOTICE_SENT]), 1),
        (["fail"] * 99, "on-call", 2_000, (NoticeState.FAILED, TRIES_MAX, [What.NOTICE_FAILED]), 0),
        ([], "nobody", 3, (NoticeState.FAILED, 1, [What.NOTICE_FAILED]), 0),
    ],
)
def test_a_notice_is_sent_once_or_seen_to_have_failed(tmp_path, script, channel, seconds, expected, sent):
    """Tried again with growing pauses; not again where that cannot help, nor where it got through after all."""
    taken = []

    async def scenario():
        async with acting(tmp_path, service(list(script), taken)) as it:
            await put(it, channel)
            await it.pass_s(seconds, step_s=1 if seconds < 100 else 10)
            assert await outcome(it) == expected
            assert len(taken) == sent

    run(scenario())


def test_a_notice_that_waits_is_sent_after_a_restart(tmp_path):
    """It is in the store, with the try that it is at."""
    taken = []

    async def scenario():
        async with acting(tmp_path, service(["fail"] * 99, taken)) as it:
            await put(it)
            await it.pass_s(3)
        async with acting(tmp_path, service([], taken)) as it:
            await it.pass_s(60, step_s=5)
            assert (await outcome(it))[:2] == (NoticeState.SENT, 2)

    run(scenario())
