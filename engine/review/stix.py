"""A review to a STIX 2.1 bundle, for sharing: the incident, the techniques it is tagged with, what was done about it.

Made by the `stix2` library (extra `stix`). Ids follow from the incident's, so that a second export updates the first.
Names of models, runs and clients are internal: look at a bundle before it leaves the house.
"""

import uuid
from types import ModuleType
from typing import Any

from engine.model import IntentState, format_key, make_key
from engine.operate.reviews import Review
from engine.review.story import beginning, tell

_NAMESPACE = uuid.UUID("b8f7a3f0-6f0e-5d6e-9a46-3c1f6b1f7c11")
_SOURCES = {"atlas": "mitre-atlas", "owasp": "owasp"}


def to_stix(review: Review, stix2: ModuleType) -> str:
    """The bundle as JSON text; `stix2` is the library, which not everyone has."""
    row = review.detail.incident
    author = stix2.Identity(
        id=_id("identity", "halon"), name="Halon", identity_class="system", created=row.opened, modified=row.opened
    )
    common: dict[str, Any] = {
        "created_by_ref": author.id,
        "created": row.opened,
        "modified": max(row.updated, row.opened),
    }
    incident = stix2.Incident(
        id=_id("incident", row.id),
        name=f"{row.incident} ({row.id})",
        description=f"{row.incident} for {format_key(make_key(row.key))}, {row.severity.value}, {row.state.value}. "
        f"Began {beginning(review):%Y-%m-%dT%H:%M:%SZ}; found by rule {row.rule}.",
        labels=list(review.detail.tags),
        external_references=[{"source_name": "halon", "external_id": row.id}],
        **common,
    )
    note = stix2.Note(
        id=_id("note", row.id),
        abstract="What happened",
        content="\n".join(f"{each.at:%Y-%m-%dT%H:%M:%S.%fZ} {each.kind}: {each.text}" for each in tell(review)),
        object_refs=[incident.id],
        **common,
    )
    techniques = [_technique(tag, common, stix2) for tag in review.detail.tags if tag.partition(":")[0] in _SOURCES]
    objects = [author, incident, note, *techniques]
    objects += [_relation(incident.id, "uses", each.id, common, stix2) for each in techniques]
    for step in review.detail.steps:
        if step.state is IntentState.VERIFIED:
            done = stix2.CourseOfAction(
                id=_id("course-of-action", step.intent),
                name=step.action,
                description=step.would or step.reason or step.action,
                **common,
            )
            objects.append(done)
            objects += [_relation(done.id, "mitigates", each.id, common, stix2) for each in techniques]
    return str(stix2.Bundle(objects=objects, id=_id("bundle", row.id)).serialize(pretty=True))


def _technique(tag: str, common: dict[str, Any], stix2: ModuleType) -> Any:
    source, _, name = tag.partition(":")
    return stix2.AttackPattern(
        id=_id("attack-pattern", tag),
        name=name,
        external_references=[{"source_name": _SOURCES[source], "external_id": name}],
        **common,
    )


def _relation(source: str, kind: str, target: str, common: dict[str, Any], stix2: ModuleType) -> Any:
    return stix2.Relationship(
        id=_id("relationship", source, kind, target),
        source_ref=source,
        relationship_type=kind,
        target_ref=target,
        **common,
    )


def _id(kind: str, *names: str) -> str:
    return f"{kind}--{uuid.uuid5(_NAMESPACE, ' '.join((kind, *names)))}"
