"""`halon explain`: why an incident fired (signals, values, thresholds, events), and what became of each step."""

import itertools
from pathlib import Path

import click
from rich.text import Text

from engine.cli.daemon import Daemon
from engine.cli.output import (
    duration_text,
    emit,
    fields,
    json_text,
    key_text,
    plural,
    say,
    styled,
    table,
    time_text,
    word,
)
from engine.cli.setup import config_option, json_option
from engine.operate import views
from engine.operate.client import segment
from engine.operate.shown import EvidenceView, IncidentDetail, Station, StepView

EVIDENCE_SHOWN_MAX = 20
LATER_SHOWN_MAX = 5
EVENT_IDS_SHOWN_MAX = 8


@click.command()
@click.argument("incident")
@config_option
@json_option
def explain(incident: str, config_path: Path | None, *, as_json: bool) -> None:
    """Explain why an incident fired, and why each step was taken or not."""
    detail = Daemon(config_path).view(
        f"/v1/incidents/{segment(incident)}",
        IncidentDetail,
        lambda db: views.incident(db, incident),
        what=incident_words(incident),
    )
    if as_json:
        emit(detail)
        return
    print_head(detail)
    say(f"\nWhy: rule `{detail.incident.rule}` saw {plural(detail.incident.signals, 'signal')}", "bold")
    # What opened it in full; what it absorbed afterwards repeats the story and is one line each.
    opened = [each for each in detail.evidence if each.at <= detail.incident.opened][:EVIDENCE_SHOWN_MAX]
    for each in opened:
        _print_evidence(each)
    later = [each for each in detail.evidence if each not in opened]
    if later:
        say(f"\n  Since then, {plural(len(later), 'signal')} more:", "dim")
        for each in later[:LATER_SHOWN_MAX]:
            say(Text(f"  {time_text(each.at)}  {each.signal}  {each.detail}", no_wrap=True, overflow="ellipsis"))
    if len(later) > LATER_SHOWN_MAX:
        say(f"  … and {len(later) - LATER_SHOWN_MAX}; --json has all that were kept", "dim")
    print_steps(detail)
    for step in detail.steps:
        _print_step(step)


def incident_words(incident: str) -> str:
    """What to say where there is no such incident."""
    return f"incident `{incident}`; `halon incidents list --all` shows what there is"


def print_head(detail: IncidentDetail) -> None:
    """What kind of incident, about what, and where it stands."""
    row = detail.incident
    say(
        Text.assemble(
            styled(f"{row.incident}  ", "bold"),
            word(row.severity.value),
            "  ",
            word(row.state.value),
            styled(f"  {row.id}", "dim"),
        )
    )
    pairs: list[tuple[str, object]] = [
        ("about", key_text(row.key)),
        ("rule", row.rule),
        ("playbook", detail.playbook),
        ("mode", word(row.mode.value)),
        ("opened", time_text(row.opened)),
        ("contained", time_text(row.contained)),
    ]
    if row.acked_by:
        pairs.append(("looked after by", row.acked_by))
    if row.reopened:
        pairs.append(("reopened", plural(row.reopened, "time")))
    if row.closed is not None:
        of = f" of {row.duplicate_of}" if row.duplicate_of else ""
        pairs += [("closed", time_text(row.closed)), ("resolution", row.resolution + of)]
    if detail.tags:
        pairs.append(("tags", ", ".join(detail.tags)))
    fields(pairs, indent=2)


def print_steps(detail: IncidentDetail) -> None:
    """The steps with verdict, state and reason, and the leases that hold."""
    say()
    if not detail.steps:
        say("Steps: none; the rule has no playbook" if detail.playbook is None else "Steps: none yet", "bold")
        return
    table(
        ("STEP", "ACTION", "?VERDICT", "STATE", "?~TARGET", "~REASON"),
        [
            (step.place, step.action, word(step.verdict.value), word(step.state.value), step.target or "-", step.reason)
            for step in detail.steps
        ],
        title="Steps",
    )
    if detail.leases:
        say()
        table(
            ("LEASE", "STATE", "?ACTION", "~TARGET", "EXPIRES"),
            [
                (each.id, word(each.state.value), each.action, f"{each.target_kind}:{each.target}", each.expires)
                for each in detail.leases
            ],
            title="Leases",
        )


def _print_evidence(each: EvidenceView) -> None:
    say(f"\n  {time_text(each.at)}  {each.signal}  {key_text(each.key)}")
    pairs: list[tuple[str, object]] = [("saw", each.detail)]
    if each.value is not None:
        threshold = "" if each.threshold is None else f"  against a threshold of {each.threshold:g}"
        pairs.append(("value", f"{each.value:g}{threshold}"))
    if each.event is not None:
        subject = f" about {each.event.subject}" if each.event.subject is not None else ""
        pairs.append(("event", f"{each.event.id}  {each.event.type} from {each.event.source}{subject}"))
        pairs.append(("data", json_text(each.event.data)))
    if each.event_ids:
        more = len(each.event_ids) - EVENT_IDS_SHOWN_MAX
        shown = ", ".join(each.event_ids[:EVENT_IDS_SHOWN_MAX])
        pairs.append(("events", f"{shown}, and {more} more" if more > 0 else shown))
    if len(each.sources) > 1:
        pairs.append(("sources", ", ".join(each.sources)))
    fields(pairs, indent=4)


def _print_step(step: StepView) -> None:
    """One step: what it was to do, what came of it, why, and how long each part of the way took."""
    say()
    say(Text.assemble(styled(f"  {step.place}  {step.action}  ", "bold"), word(step.state.value)))
    pairs: list[tuple[str, object]] = [("params", json_text(step.params)), ("verdict", word(step.verdict.value))]
    for name, text in (
        ("target", step.target),
        ("would", step.would),
        ("outcome", step.outcome),
        ("because", step.reason),
        ("approved by", step.approved_by),
    ):
        if text:
            pairs.append((name, text))
    if step.waits_for:
        until = f" until {time_text(step.waits_until)}" if step.waits_until else ""
        pairs.append(("waits for", f"{step.waits_for}{until}"))
    if step.lease is not None:
        pairs.append(("lease", step.lease))
    if step.tries > 1:
        pairs.append(("tries", step.tries))
    if step.stations:
        pairs.append(("way", _way(step.stations)))
    fields(pairs, indent=4)


def _way(stations: tuple[Station, ...]) -> str:
    """From event to the last station: what each leg took, and all of them together."""
    legs = [
        f"{each.name} +{duration_text(each.after_ms - before.after_ms)}"
        for before, each in itertools.pairwise(stations)
    ]
    return f"{' → '.join([stations[0].name, *legs])}  ({duration_text(stations[-1].after_ms)} in all)"
