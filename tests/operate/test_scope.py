"""What an incident touches and which others it has to do with: from its key, events, steps and leases."""

import msgspec

from engine.model import Event, Finding, IncidentId, IntentState, Lease, LeaseState, Plan, Signal, Target
from engine.operate.scope import OF_A_KIND_MAX, related, touched
from engine.store.intents import IntentRecord, Stations
from tests.support.acting import START_US, incident, intent

ONE = incident()


def event(name, **data):
    """An event that says this."""
    return Event(name, "/s", "t", START_US, None, data)


def record(state, *, lease=None, kind="endpoint", target="gpu-3"):
    """A step on a target."""
    plan = Plan(Target(kind, target), would="isolate it")
    return IntentRecord(intent(ONE), state, Stations(0, 0, 0), 0, plan=plan, lease=lease)


def lease(*, lost=False, state=LeaseState.IN_FORCE):
    """The lease of that step."""
    target = Target("endpoint", "gpu-3")
    return Lease("lease-1", "fake.hold", target, {}, {}, "i", (ONE.id,), state, 0, 9, lost=lost)


def shown(*args):
    """{kind: {name: facts}}"""
    made = {}
    for each in touched(*args):
        made.setdefault(each.kind, {})[each.name] = each.facts
    return made


def test_things_are_named_by_kind_with_what_is_known_of_them():
    """The key's first; what more events mention before what fewer do; what a step acted on with how that stands."""
    events = [event("a", model_id="m-1", user="eve"), event("b", model="m-1", request={"api-key": "k-9"}), event("c")]
    found = shown(ONE, events, [record(IntentState.VERIFIED, lease="lease-1")], [lease()])
    assert found == {
        "model": {"m-1": ("in 2 recorded events",)},
        "run": {"inc-1": ("key of the incident",)},
        "client": {"k-9": ("in 1 recorded event",)},
        "endpoint": {"gpu-3": ("fake.hold in force",)},
        "principal": {"eve": ("in 1 recorded event",)},
    }


def test_a_thing_is_never_said_to_be_contained_when_it_is_not():
    """A lost lease, a lifted one, a step that failed: each in its own words."""
    for given, held, fact in (
        (record(IntentState.VERIFIED, lease="lease-1"), [lease(lost=True)], "fake.hold NOT in force any more"),
        (record(IntentState.VERIFIED, lease="lease-1"), [], "fake.hold was in force, is lifted"),
        (record(IntentState.VERIFIED), [], "fake.hold done"),
        (record(IntentState.FAILED), [], "fake.hold failed"),
    ):
        assert shown(ONE, [], [given], held)["endpoint"] == {"gpu-3": (fact,)}


def test_a_crowd_of_one_kind_is_cut_and_counted():
    """The number of things that are shown is bounded."""
    found = shown(ONE, [event(str(number), client=f"c-{number}") for number in range(50)], [], [])
    assert len(found["client"]) == OF_A_KIND_MAX + 1
    assert found["client"][""] == (f"and {50 - OF_A_KIND_MAX} more",)


def other(name, key=(), events=(), **changes):
    """Another incident, with signals of these events."""
    signals = tuple(
        Signal("s", (), START_US, Finding("x", event_ids=(each.id,)), each, (each.source,)) for each in events
    )
    return msgspec.structs.replace(ONE, id=IncidentId(name), key=key, signals=signals, **changes)


def test_others_are_related_by_key_client_source_and_events():
    """What they have most in common comes first; what has nothing to do with it is left out."""
    mine = other("inc-1", (("client", "c-1"),), [event("a", user="eve"), event("b")])
    far = msgspec.structs.replace(event("z"), source="/elsewhere")
    found = related(
        mine,
        [
            mine,
            other("inc-source", (("run", "r"),), [event("q")]),
            other("inc-none", (("run", "r"),), [far]),
            other("inc-client", (("run", "r"),), [msgspec.structs.replace(event("y", user="eve"), source="/x")]),
            other("inc-key", (("client", "c-1"),), [far]),
            other("inc-events", (("run", "r"),), [event("a", user="eve")]),
            other("inc-copy", (("run", "r"),), [far], duplicate_of="inc-1"),
        ],
    )
    assert {each.incident: each.how for each in found} == {
        "inc-events": ("1 event in common", "same client eve", "same source /s"),
        "inc-key": ("same key client=c-1",),
        "inc-client": ("same client eve",),
        "inc-source": ("same source /s",),
        "inc-copy": ("closed as its duplicate",),
    }
    assert [each.incident for each in found][:3] == ["inc-events", "inc-key", "inc-client"]
