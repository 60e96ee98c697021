"""The story of an incident, from a real database."""

import asyncio

from engine.model import Event, Finding, IncidentState, Signal
from engine.operate import views
from engine.store import incidents
from tests.support.acting import START_US, World, acting, holding, incident, intent


def told(tmp_path, *, script=(), signals=1, absorbed=1, approve=False):
    """(kind, text) of each line, after two contain steps."""
    lines = []

    async def scenario():
        world = World()
        world.script.extend(script)
        evidence = tuple(
            Signal(
                "loss-spike",
                (("run", "inc-1"),),
                START_US + place,
                Finding("odd", value=90.0, threshold=8.0),
                Event(f"e{place}", "/trainer", "training.step", START_US + place - 2, "run-7"),
            )
            for place in range(signals)
        )
        one = incident()
        one = one.__class__(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "signals": evidence})
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(one, approve=approve), intent(one, 1, target="b"), of=one)
            await it.finish()
            if approve:
                await it.contain.approve(intent(one).id, who="ann")
                await it.finish()
            await it.store.write(
                lambda db: incidents.move(
                    db, one.id, IncidentState.CLOSED, at_us=START_US + 9_000_000, who="ann", resolution="resolved"
                )
            )
            detail = await it.store.read(lambda db: views.incident(db, one.id))
            lines.extend((each.kind, each.text, each.who) for each in detail.story)
            assert [each.at for each in detail.story] == sorted(each.at for each in detail.story)

    asyncio.run(scenario())
    return lines


def test_a_story_goes_from_the_event_to_the_closing(tmp_path):
    """What was seen, what opened, what was decided and read back, who ended it: in order, each with its words."""
    lines = told(tmp_path)
    told_of = "event signal opened decided verified verified lease lease contained closed"
    assert [kind for kind, _, _ in lines] == told_of.split()
    texts = {kind: text for kind, text, _ in lines}
    assert texts["event"] == "training.step from /trainer about run-7 (e0)"
    assert texts["signal"] == "loss-spike: odd, value 90 against 8"
    assert texts["decided"] == "contain: fake.hold, fake.hold"
    assert texts["closed"] == "as resolved"
    assert next(who for kind, _, who in lines if kind == "closed") == "ann"


def test_a_failure_is_told_with_its_reason(tmp_path):
    """And what was given up because of it."""
    lines = told(tmp_path, script=["fail"])
    assert ("failed", "contain.0 fake.hold on a: wrong credentials", "") in lines
    assert any(kind == "skipped" and "step 1 (fake.hold) was failed" in text for kind, text, _ in lines)
    assert "contained" not in [kind for kind, _, _ in lines]


def test_an_approval_names_who_gave_it(tmp_path):
    """Between the holding and the doing."""
    lines = told(tmp_path, approve=True)
    kinds = [kind for kind, _, _ in lines]
    assert kinds.index("held") < kinds.index("approved") < kinds.index("contained")
    assert next(who for kind, _, who in lines if kind == "approved") == "ann"


def test_of_many_signals_the_first_are_told_and_the_others_counted(tmp_path):
    """A storm does not hide the rest of the story."""
    lines = told(tmp_path, signals=40)
    assert sum(kind == "signal" for kind, _, _ in lines) == 13
    assert any(text.startswith("… 28 more signals") for _, text, _ in lines)
