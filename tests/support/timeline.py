"""Scenarios of the core that read as a timeline: `at(0).event(…)`, `at(4.9).nothing()`, `at(5).incident("…")`."""

from engine.clock import SECOND_US
from engine.core import Core
from engine.model import Event, make_key
from tests.support.rules import rules_of

START_US = 1_767_225_600 * SECOND_US


class Timeline:
    """Rules under test, and all that came of what was fed so far; what was asserted is crossed out."""

    def __init__(self, rules, **core):
        self.core = Core(rules if not isinstance(rules, str) else rules_of(rules), **core)
        self.signals, self.incidents, self.intents, self.skipped, self.faults = [], [], [], [], []
        self.count = 0

    def __call__(self, seconds):
        return At(self, START_US + round(seconds * SECOND_US))

    def take(self, step):
        self.signals += step.signals
        self.incidents += step.opened
        self.intents += step.intents
        self.skipped += step.skipped
        self.faults += step.faults
        return step


class At:
    """A point of a timeline."""

    def __init__(self, line, time_us):
        self.line, self.time_us = line, time_us

    def event(self, kind="t", subject="x", *, source="s", arrived=None, times=1, **data):
        """`times` events happen now, and arrive now or at `arrived`."""
        now_us = self.time_us if arrived is None else START_US + round(arrived * SECOND_US)
        for _ in range(times):
            self.line.count += 1
            event = Event(f"e{self.line.count}", source, kind, self.time_us, subject, data)
            self.line.take(self.line.core.event(event, now_us))
        return self

    def tick(self):
        """The clock says so."""
        self.line.take(self.line.core.tick(self.time_us))
        return self

    def signal(self, name, **key):
        """This signal was given for now."""
        for each in self.line.signals:
            if each.signal == name and each.at_us == self.time_us and each.key == make_key(key):
                self.line.signals.remove(each)
                return each
        raise AssertionError(f"no signal {name} {key}; there are {self._told(self.line.signals)}")

    def incident(self, name, **key):
        """This incident opened now; goes on to what was decided for it."""
        for each in self.line.incidents:
            if each.incident == name and each.opened_us == self.time_us and (not key or each.key == make_key(key)):
                self.line.incidents.remove(each)
                return Opened(self.line, each)
        raise AssertionError(f"no incident {name} {key}; there are {self._told(self.line.incidents)}")

    def nothing(self):
        """The clock comes to this point and nothing has come about that was not asserted."""
        self.tick()
        assert not self.line.incidents, self._told(self.line.incidents)
        return self

    def quiet(self):
        """Not even signals."""
        self.nothing()
        assert not self.line.signals, self._told(self.line.signals)
        return self

    def _told(self, things):
        named = [(getattr(each, "signal", None) or each.incident, each.key) for each in things]
        times = [(getattr(each, "at_us", None) or each.opened_us) - START_US for each in things]
        return [(name, key, at / SECOND_US) for (name, key), at in zip(named, times, strict=True)]


class Opened:
    """An incident that opened."""

    def __init__(self, line, incident):
        self.line, self.incident = line, incident

    def contained_by(self, *actions):
        """These are its steps to contain, in order."""
        found = [
            each.action for each in self.line.intents if each.incident == self.incident.id and each.phase == "contain"
        ]
        assert found == list(actions)
        return self
