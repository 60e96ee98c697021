"""A rule that fired to intents: parameters, verdicts, reasons, and what cannot be evaluated."""

import pytest

from engine.model import Mode, Phase, Verdict
from tests.support.timeline import START_US, Timeline

RULE = """
[signal.a]
on = "a"
by = { k = "event.subject" }
value = "event.data.n"
detect = { method = "sum", above = 0, within = "1m" }
[signal.b]
on = "b"
by = { k = "event.subject" }
[rule.r]
incident = "fairness"
severity = "high"
by = ["k"]
when = { all = ["a", "b"] }
playbook = "p"
MODE
[playbook.p]
"""


def steps_of(*steps, mode="", core_mode=Mode.ENFORCE, phase="contain", **data):
    """What is decided for these steps (TOML) when `a` (with n = 7) and then `b` (with `data`) complete the match."""
    at = Timeline(RULE.replace("MODE", mode) + f"{phase} = [ {', '.join(steps)} ]\n", mode=core_mode)
    at(0).event("a", n=7)
    at(1).event("b", **data)
    return at


def capture(paths, extra=""):
    return f"{{ do = 'evidence.capture', paths = [{paths}]{extra} }}"


def test_templates_see_the_completing_event_the_incident_and_the_signals():
    """Values keep their type when they are the whole text, else they are joined."""
    text = '"${event.data.path}", "/x/${incident.key.k}/${incident.severity}", "/n/${signals[\'a\'].event.data.n}"'
    (intent,) = steps_of(capture(text), path="/from/b").intents
    assert intent.params == {"paths": ["/from/b", "/x/x/high", "/n/7"]}
    assert (intent.verdict, intent.reason) == (Verdict.ENFORCE, "")
    assert intent.at_us == intent.trigger_us == START_US + 1_000_000


VERDICTS = [
    ("", "", Mode.ENFORCE, Verdict.ENFORCE, "", False),
    (", approve = true", "", Mode.ENFORCE, Verdict.HOLD, "waits for approval", True),
    ("", "mode = 'observe'", Mode.ENFORCE, Verdict.OBSERVE, "", False),
    ("", "", Mode.OBSERVE, Verdict.OBSERVE, "", False),
    (", approve = true", "", Mode.OBSERVE, Verdict.OBSERVE, "", True),
]


@pytest.mark.parametrize(("extra", "mode", "core_mode", "verdict", "reason", "approve"), VERDICTS)
def test_the_verdict_follows_from_modes_and_approval(extra, mode, core_mode, verdict, reason, approve):
    """Observe on either side acts on nothing; a step that asks for approval waits for it."""
    (intent,) = steps_of(capture("'/p'", extra), mode=mode, core_mode=core_mode).intents
    assert (intent.verdict, intent.reason, intent.approve) == (verdict, reason, approve)


@pytest.mark.parametrize("core_mode", list(Mode))
def test_a_parameter_that_cannot_be_evaluated_holds_its_step_and_cannot_be_approved(core_mode):
    """The reason says which and why; it is a fault of the rule too; the other steps go on."""
    at = steps_of(capture("'${event.data.no}'", ", approve = true"), capture("'/p'"), core_mode=core_mode)
    broken, sound = at.intents
    assert (broken.verdict, broken.params, broken.approve) == (Verdict.HOLD, {}, False)
    assert broken.reason.startswith("`paths` can't be evaluated: ")
    assert [(each.owner, each.field, each.event_id) for each in at.faults] == [("r", "contain[0].paths", "e2")]
    assert sound.verdict is not Verdict.HOLD


def test_a_step_whose_when_is_false_is_skipped_with_the_reason():
    """It is no intent to execute, but recorded; its place in the playbook stays its own."""
    at = steps_of(capture("'/p'", ", when = 'event.data.n > 5'"), capture("'/q'"), n=1)
    assert [(each.step, each.params) for each in at.intents] == [(1, {"paths": ["/q"]})]
    assert [(each.step, each.reason) for each in at.skipped] == [(0, "skipped: `event.data.n > 5` is false")]
    assert at.skipped[0].verdict is Verdict.HOLD


def test_a_when_that_cannot_be_evaluated_holds_the_step():
    """Nobody can tell whether the step is wanted, so it is not taken, and seen."""
    at = steps_of(capture("'/p'", ", when = 'event.data.no > 5'"))
    assert at.intents[0].reason.startswith("`when` can't be evaluated: ")
    assert [each.field for each in at.faults] == ["contain[0].when"]
    assert at.skipped == []


def test_phases_come_in_their_order_and_each_step_has_an_id_of_its_own():
    """Contain, investigate, recover; equal steps differ by phase and place."""
    text = "\n".join(f"{phase} = [ {capture(chr(39) + '/p' + chr(39))} ]" for phase in ("recover", "investigate"))
    at = Timeline(RULE.replace("MODE", "") + f"contain = [ {capture(chr(39) + '/p' + chr(39))} ]\n{text}\n")
    at(0).event("a", n=1)
    at(1).event("b")
    assert [each.phase for each in at.intents] == list(Phase)
    assert len({each.id for each in at.intents}) == 3


def test_where_a_timer_completed_the_match_the_newest_event_behind_it_is_seen():
    """Silence has no event; the other signal has one."""
    at = Timeline(
        RULE.replace("MODE", "")
        .replace('{ method = "sum", above = 0, within = "1m" }', '{ method = "absence", for = "1m" }')
        .replace('value = "event.data.n"\n', "")
        + f"contain = [ {capture(chr(34) + '${event.data.path}' + chr(34))} ]\n"
    )
    at(0).event("a")
    at(1).event("b", path="/b")
    at(60).tick()
    assert at(60).incident("fairness", k="x").incident.signals[-1].event is None
    assert at.intents[0].params == {"paths": ["/b"]}
