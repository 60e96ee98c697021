"""The recorded events around incidents: one pass against the plain choice over all of them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Event
from engine.store import around, incidents, pinned, recorder
from engine.store.around import Around
from engine.store.pinned import Packed
from engine.store.recorder import RecorderLimits
from tests.support.acting import START_US, incident
from tests.support.databases import memory

ONE = incident()
BEFORE_US, AFTER_US = 50, 20


def holding(one):
    """A fresh database with one incident."""
    made = memory()
    incidents.put(made, one, at_us=START_US)
    return made


def asked(events_max, *names):
    """A question about the incident."""
    return Around(names or (ONE.id,), BEFORE_US, AFTER_US, events_max, START_US)


def plainly(events, most):
    """The nearest of those that concern the incident, in the order of their times, and how many were too many."""
    fit = [each for each in events if each.subject == "inc-1" and -BEFORE_US <= each.time_us - START_US < AFTER_US]
    chosen = sorted(fit, key=lambda each: abs(each.time_us - START_US))[:most]
    return sorted(chosen, key=lambda each: (each.time_us, each.id)), len(fit) - len(chosen)


EVENTS = st.lists(st.tuples(st.integers(-60, 30), st.sampled_from(["inc-1", "other"])), max_size=60)


@given(first=EVENTS, more=EVENTS, most=st.integers(1, 12))
def test_the_nearest_are_chosen_however_many_pass(first, more, most):
    """As by sorting all of them, though few are held at once; a later pass adds to what is kept already."""
    database, seen = holding(ONE), []
    for place, batch in enumerate((first, more)):
        # Each distance once: of two that are as near, either may be taken.
        distances = {abs(each.time_us - START_US) for each in seen}
        new = []
        for number, (at, subject) in enumerate(batch):
            if abs(at) not in distances:
                distances.add(abs(at))
                new.append(Event(f"e{place}-{number}", "/s", "t", START_US + at, subject))
        seen += new
        recorder.put(database, new, START_US, RecorderLimits())
        pinned.keep(database, around.collect(database, asked(most)), kept_bytes_max=10**9)
    found = pinned.pinned_of(database, ONE.id)
    chosen, left_out = plainly(seen, most)
    assert (list(found.events), found.left_out) == (chosen, left_out)
    database.close()


def test_what_did_not_change_is_not_kept_anew():
    """Else each pass would write it again, and tell of it."""
    database = holding(ONE)
    recorder.put(database, [Event("e", "/s", "t", START_US, "inc-1")], START_US, RecorderLimits())
    pinned.keep(database, around.collect(database, asked(9)), kept_bytes_max=10**9)
    assert around.collect(database, asked(9)) == []


def test_an_incident_that_is_not_there_is_left_out():
    """It was pruned since."""
    assert around.collect(holding(ONE), asked(9, "inc-none")) == []


def test_another_process_is_answered_the_same():
    """Request and answer as bytes."""
    database = holding(ONE)
    recorder.put(database, [Event("e", "/s", "t", START_US, "inc-1")], START_US, RecorderLimits())
    answer = around.answer(database, msgspec.msgpack.encode(asked(9)))
    assert msgspec.msgpack.decode(answer, type=list[Packed]) == around.collect(database, asked(9))
