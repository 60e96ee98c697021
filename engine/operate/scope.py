"""What an incident touches, and which others it has to do with: from its key, its events, its steps and its leases.

Worked out when somebody looks, from what is recorded; nothing of it is kept. `engine.operate.views` asks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.model import Event, Incident, IntentState, Json, Lease, LeaseState
from engine.operate.shown import Related, Touched
from engine.store.intents import IntentRecord

NAMES: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "model_id", "model_name"),
    "run": ("run", "run_id", "job", "job_id", "training_run", "experiment"),
    "dataset": ("dataset", "dataset_id", "training_set"),
    "checkpoint": ("checkpoint", "checkpoint_id"),
    "client": ("client", "client_id", "api_key", "key_id", "tenant", "customer", "address", "ip", "client_ip"),
    "endpoint": ("endpoint", "host", "hostname", "server", "node", "service", "deployment", "pool"),
    "principal": ("principal", "user", "username", "role", "db_role", "account", "service_account", "actor"),
}
"""By which names of fields and keys each kind of thing is known."""
SAME_CLIENT = ("client", "principal")
OF_A_KIND_MAX = 20
"""Things of one kind that are shown."""
RELATED_MAX = 20

_KIND = {name: kind for kind, names in NAMES.items() for name in names}
_OF_TARGET = {"training": "run", "credential": "principal"}
"""What a step acts on is of the kind that its target names, but for these."""


def touched(
    incident: Incident, events: Iterable[Event], records: Sequence[IntentRecord], leases: Sequence[Lease]
) -> tuple[Touched, ...]:
    """The things that an incident touches by kind, those of its key first, then those that most events mention."""
    mentions: Counter[tuple[str, str]] = Counter()
    for event in events:
        mentions.update(dict.fromkeys(_things(event), 1))
    facts: dict[tuple[str, str], list[str]] = {}
    for name, value in incident.key:
        facts.setdefault((_KIND.get(name, name), value), []).append("key of the incident")
    for thing, count in mentions.most_common():
        facts.setdefault(thing, []).append(f"in {count} recorded event{'' if count == 1 else 's'}")
    held = {(lease.action, lease.target.name): lease for lease in leases}
    for record in records:
        if record.plan is None or record.plan.target.kind == "evidence":
            continue
        target = record.plan.target
        thing = (_OF_TARGET.get(target.kind, target.kind), target.name)
        told = facts.setdefault(thing, [])
        lease = held.get((record.intent.action, target.name))
        fact = _fact(record, lease)
        if fact not in told:
            told.append(fact)
    kinds = [*NAMES, *dict.fromkeys(kind for kind, _ in facts if kind not in NAMES)]
    shown: list[Touched] = []
    for kind in kinds:
        of_kind = [(value, tuple(told)) for (each, value), told in facts.items() if each == kind]
        shown += [Touched(kind=kind, name=value, facts=told) for value, told in of_kind[:OF_A_KIND_MAX]]
        if len(of_kind) > OF_A_KIND_MAX:
            shown.append(Touched(kind=kind, name="", facts=(f"and {len(of_kind) - OF_A_KIND_MAX} more",)))
    return tuple(shown)


def related(incident: Incident, others: Iterable[Incident]) -> tuple[Related, ...]:
    """Others that have to do with it, and how; those that have most first, then the newest."""
    mine = _traits(incident)
    found: list[tuple[int, Related]] = []
    for other in others:
        if other.id == incident.id:
            continue
        theirs = _traits(other)
        how: list[str] = []
        if incident.duplicate_of == other.id or other.duplicate_of == incident.id:
            how.append("closed as its duplicate")
        events = mine["event"] & theirs["event"]
        if events:
            how.append(f"{len(events)} event{'' if len(events) == 1 else 's'} in common")
        keys = set(incident.key) & set(other.key)
        how += [f"same key {name}={value}" for name, value in sorted(keys)]
        values = {value for _, value in keys}
        how += [f"same client {value}" for value in sorted((mine["client"] & theirs["client"]) - values)[:3]]
        how += [f"same source {value}" for value in sorted(mine["source"] & theirs["source"])[:1]]
        if how:
            weight = 4 * bool(events) + 3 * bool(keys) + 2 * bool(mine["client"] & theirs["client"])
            row = Related(
                incident=other.id, type=other.incident, key=dict(other.key), state=other.state, how=tuple(how)
            )
            found.append((-weight, row))
    return tuple(row for _, row in sorted(found, key=lambda each: each[0])[:RELATED_MAX])


def _traits(incident: Incident) -> dict[str, set[str]]:
    traits: dict[str, set[str]] = {"event": set(), "client": set(), "source": set()}
    traits["client"] |= {value for name, value in incident.key if _KIND.get(name) in SAME_CLIENT}
    for signal in incident.signals:
        traits["event"].update(signal.finding.event_ids)
        traits["source"].update(signal.sources)
        if signal.event is not None:
            traits["event"].add(signal.event.id)
            traits["client"] |= {value for kind, value in _things(signal.event) if kind in SAME_CLIENT}
    return traits


def _things(event: Event) -> Iterator[tuple[str, str]]:
    """(kind, value) of what an event names, in its data and one level below."""
    data = event.data
    if not isinstance(data, dict):
        return
    yield from _named(data)
    for value in data.values():
        if isinstance(value, dict):
            yield from _named(value)


def _named(data: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        kind = _KIND.get(name.lower().replace("-", "_"))
        if kind is not None and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            yield kind, str(value)[:256]


def _fact(record: IntentRecord, lease: Lease | None) -> str:
    """What was done to a thing."""
    action = record.intent.action
    if lease is not None and lease.state is LeaseState.IN_FORCE:
        return f"{action} in force" if not lease.lost else f"{action} NOT in force any more"
    if record.state is IntentState.VERIFIED:
        return f"{action} done" if record.lease is None else f"{action} was in force, is lifted"
    return f"{action} {record.state.value}"
