"""A review to a document: sections of paragraphs, tables, lists and drawings, which both pages render."""

from collections.abc import Iterable, Iterator

import msgspec

from engine.model import IntentState, Json, Struct, format_key, make_key
from engine.operate.reviews import Review
from engine.operate.shown import StepView
from engine.review.proposals import Area, propose
from engine.review.series import Series
from engine.review.story import beginning, tell, was_kept

EVENT_IDS_SHOWN_MAX = 10
EVIDENCE_SHOWN_MAX = 100


class Text(Struct, frozen=True, tag="text"):
    """A paragraph."""

    text: str


class Items(Struct, frozen=True, tag="items"):
    """A list."""

    items: tuple[str, ...]


class Grid(Struct, frozen=True, tag="grid"):
    """A table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Drawing(Struct, frozen=True, tag="drawing"):
    """A curve, with the moments that are named in it."""

    series: Series


Block = Text | Items | Grid | Drawing


class Section(Struct, frozen=True):
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


class Document(Struct, frozen=True):
    """The whole page."""

    title: str
    sections: tuple[Section, ...]


def compose(review: Review, series: Iterable[Series] = ()) -> Document:
    """The review as a document, section by section; one that has nothing to say says that."""
    row = review.detail.incident
    sections = (
        Section("Summary", tuple(_summary(review))),
        Section("What happened", (_story(review),)),
        Section("What it touches", (_scope(review),)),
        Section("Why it fired", tuple(_evidence(review))),
        Section("The signals around the moment", tuple(_curves(series))),
        Section("Every decision", (_decisions(review),)),
        Section("How long each station took", (_latencies(review),)),
        Section("Deadlines", (_deadlines(review),)),
        Section("What was contained, and what was undone", (_contained(review),)),
        Section("Evidence that was kept", (_kept(review),)),
        Section("Who was told", (_notices(review),)),
        Section("What else has to do with it", (_related(review),)),
        Section("What to change", tuple(_proposals(review))),
    )
    return Document(f"{row.incident}: {format_key(make_key(row.key))} ({row.id})", sections)


def _summary(review: Review) -> Iterator[Block]:
    row, detail = review.detail.incident, review.detail
    verified = next((each for each in _stations(review) if each[1] == "verified"), None)
    pairs = [
        ("Incident", f"{row.incident}, {row.severity.value}, found by rule `{row.rule}`"),
        ("About", format_key(make_key(row.key))),
        ("State", f"{row.state.value}{f': {row.resolution}' if row.resolution else ''}"),
        ("Began", f"{beginning(review):%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("Opened", f"{row.opened:%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("Contained", f"{row.contained:%Y-%m-%d %H:%M:%S.%f} UTC" if row.contained else "never"),
        ("Closed", f"{row.closed:%Y-%m-%d %H:%M:%S.%f} UTC" if row.closed else "not yet"),
        ("First containment verified", f"{verified[2]} after its event" if verified else "nothing was verified"),
        ("Signals", f"{row.signals}"),
        ("Mode", row.mode.value),
        ("Playbook", detail.playbook or "none"),
        ("Tags", ", ".join(detail.tags) or "none"),
    ]
    yield Grid(("", ""), tuple(pairs))


def _story(review: Review) -> Block:
    rows = tuple((f"{each.at:%H:%M:%S.%f}"[:-3], each.after, each.kind, each.text) for each in tell(review))
    return Grid(("UTC", "after", "", "what"), rows)


def _evidence(review: Review) -> Iterator[Block]:
    rows = tuple(
        (
            f"{each.at:%H:%M:%S.%f}"[:-3],
            each.signal,
            each.detail,
            "" if each.value is None else f"{each.value:g}",
            "" if each.threshold is None else f"{each.threshold:g}",
            _ids(each.event_ids or ((each.event.id,) if each.event else ())),
        )
        for each in review.detail.evidence[:EVIDENCE_SHOWN_MAX]
    )
    yield Grid(("UTC", "signal", "finding", "value", "threshold", "events"), rows)
    kept, seen = len(rows), review.detail.incident.signals
    if seen > kept:
        yield Text(f"{seen - kept} more signals were counted and are not shown.")


def _ids(ids: tuple[str, ...]) -> str:
    more = len(ids) - EVENT_IDS_SHOWN_MAX
    return ", ".join(ids[:EVENT_IDS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _curves(series: Iterable[Series]) -> Iterator[Block]:
    drawn = [Drawing(each) for each in series]
    if drawn:
        yield from drawn
        yield Text("Dots: where the signal fired. The dashed line is its threshold, where it is in the unit drawn.")
    else:
        yield Text("No events were recorded around it: [recorder] in config.toml says how many are kept, and how long.")


def _decisions(review: Review) -> Block:
    if not review.detail.steps:
        return Text("No step was decided.")
    rows = tuple(
        (
            each.place,
            each.action,
            each.target or _params(each),
            each.verdict.value,
            each.state.value,
            _why(each),
        )
        for each in review.detail.steps
    )
    return Grid(("step", "action", "target", "verdict", "became", "why"), rows)


def _params(step: StepView) -> str:
    return msgspec.json.encode(step.params).decode()[:200]


def _why(step: StepView) -> str:
    said = (step.outcome, step.reason, f"approved by {step.approved_by}" if step.approved_by else "")
    return "; ".join(dict.fromkeys(each for each in said if each))


def _stations(review: Review) -> list[tuple[str, str, str]]:
    return [
        (step.place, each.name, f"{each.after_ms:,.1f} ms") for step in review.detail.steps for each in step.stations
    ]


def _latencies(review: Review) -> Block:
    names = ("received", "matched", "durable", "applying", "applied", "verified")
    rows = []
    for step in review.detail.steps:
        by_name = {each.name: f"{each.after_ms:,.1f}" for each in step.stations}
        rows.append((f"{step.place} {step.action}", *(by_name.get(name, "") for name in names)))
    if not rows:
        return Text("No step was decided.")
    return Grid(("milliseconds after the event", *names), tuple(rows))


def _deadlines(review: Review) -> Block:
    if not review.detail.deadlines:
        return Text("None were set.")
    words = {True: "kept", False: "MISSED", None: "open"}
    rows = tuple(
        (
            each.phase.value,
            f"{each.due:%Y-%m-%d %H:%M:%S}",
            f"{each.met:%Y-%m-%d %H:%M:%S}" if each.met else "",
            words[was_kept(each)],
        )
        for each in review.detail.deadlines
    )
    return Grid(("phase", "due", "done", ""), rows)


def _scope(review: Review) -> Block:
    if not review.detail.scope:
        return Text("Nothing that has a name in its key or events.")
    return Grid(("", "name", "what is known"), tuple((t.kind, t.name, "; ".join(t.facts)) for t in review.detail.scope))


def _contained(review: Review) -> Block:
    leases = [
        (each.action, each.target, each.state.value, f"{each.expires:%Y-%m-%d %H:%M:%S}", f"{each.drifts}", each.detail)
        for each in review.detail.leases
    ]
    undone = [
        (each.action, each.target, "undone", "", "", each.reason)
        for each in review.detail.steps
        if each.state is IntentState.UNDONE
    ]
    if not leases and not undone:
        return Text("It holds no lease, and nothing was undone.")
    return Grid(("action", "target", "state", "until", "times put back", "detail"), (*leases, *undone))


def _kept(review: Review) -> Block:
    if not review.kept:
        return Text("No step kept evidence.")
    rows = tuple((each.action, name, value) for each in review.kept for name, value in _flat(each.receipt))
    return Grid(("step", "what", "where or digest"), rows)


def _flat(receipt: dict[str, Json]) -> Iterator[tuple[str, str]]:
    for name, value in receipt.items():
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()[:500]


def _notices(review: Review) -> Block:
    told = review.detail.notices
    if not told:
        return Text("Nobody was told: no channel is configured, or nothing asked for it.")
    rows = tuple((f"{each.made:%H:%M:%S}", each.channel, each.title, each.state, each.detail) for each in told)
    return Grid(("UTC", "channel", "notice", "state", "detail"), rows)


def _related(review: Review) -> Block:
    if not review.detail.related:
        return Text("None that is kept.")
    rows = tuple(
        (each.incident, each.type, format_key(make_key(each.key)), each.state.value, ", ".join(each.how))
        for each in review.detail.related
    )
    return Grid(("incident", "type", "about", "state", "how"), rows)


def _proposals(review: Review) -> Iterator[Block]:
    proposals = propose(review)
    for area in Area:
        asked = tuple(f"{each.do}. Because {each.because}." for each in proposals if each.area is area)
        yield Text(f"{area.value.capitalize()}:{'' if asked else ' nothing here asks for a change.'}")
        if asked:
            yield Items(asked)
