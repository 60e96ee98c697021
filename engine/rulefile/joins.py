"""`[rule.ID]` tables to checked rules; `engine.rulefile.load` calls this."""

from collections.abc import Iterator, Mapping

from engine.diagnostics import Note, error, quoted, suggest
from engine.model import IncidentType, PlaybookId, RuleId, SignalId
from engine.rulefile.context import Context
from engine.rulefile.digests import rule_digest
from engine.rulefile.namespace import Entry
from engine.rulefile.rules import All, AnyOf, Rule, Sequence, SignalRule, When
from engine.rulefile.shape import RuleTable, WhenTable, texts
from engine.structread import read_struct
from engine.tomlfile import KeyPath

_FORMS = ("all", "any", "sequence")


def build_rule(entry: Entry, context: Context, signals: Mapping[SignalId, SignalRule]) -> Rule | None:
    """The checked rule of one table; None where something is wrong with it or with a signal it uses."""
    before = context.findings.errors()
    shape, found = read_struct(RuleTable, entry.table, entry.file, entry.path, what=entry.what)
    context.findings.extend(found)
    _check_names(entry, context)
    when = entry.table.get("when")
    if isinstance(when, dict):
        _check_when(when, entry, context)
    used = list(_used_signals(entry))
    _check_signals(used, entry, context)
    if shape is None or context.findings.errors() > before:
        return None
    sound = {SignalId(name) for _, name in used}
    if not sound <= signals.keys():
        return None
    return Rule(
        id=RuleId(entry.id),
        incident=IncidentType(shape.incident),
        severity=shape.severity,
        when=_when(shape.when),
        by=tuple(sorted(set(shape.by))),
        playbook=None if shape.playbook is None else PlaybookId(shape.playbook),
        mode=shape.mode,
        tags=texts(shape.tags),
        title=shape.title,
        description=shape.description,
        references=texts(shape.references),
        owner=shape.owner,
        false_positives=texts(shape.false_positives),
        place=entry.place,
        digest=rule_digest(entry.table, [signals[each].digest for each in sorted(sound)]),
    )


def _when(shape: WhenTable) -> When:
    of: All | AnyOf | Sequence
    if shape.all is not None:
        of = All(_ids(shape.all))
    elif shape.any is not None:
        of = AnyOf(_ids(shape.any), at_least=1 if shape.at_least is None else shape.at_least)
    else:
        of = Sequence(tuple(SignalId(each) for each in shape.sequence or ()))
    return When(
        of=of,
        within_us=None if shape.within is None else int(shape.within),
        none=_ids(shape.none or ()),
        wait_us=int(shape.wait or 0),
        corroborate=1 if shape.corroborate is None else shape.corroborate,
    )


def _ids(names: tuple[str, ...]) -> tuple[SignalId, ...]:
    """Names in their order, each once: only in a sequence does it mean something to say one twice."""
    return tuple(SignalId(each) for each in dict.fromkeys(names))


def _check_names(entry: Entry, context: Context) -> None:
    """The incident type and the playbook exist."""
    incident, playbook = entry.table.get("incident"), entry.table.get("playbook")
    if isinstance(incident, str) and incident not in context.incidents:
        hint = suggest(incident, context.incidents) or f"declare it: `[incident.{incident[:40]}]`"
        context.findings.add(
            error(
                "H014",
                f"unknown incident type {quoted(incident)}",
                entry.file.value((*entry.path, "incident")),
                label=context.none_such("incident type"),
                help=hint,
            )
        )
    known = context.names.of("playbook")
    if isinstance(playbook, str) and playbook not in known:
        context.findings.add(
            error(
                "H013",
                f"unknown playbook {quoted(playbook)}",
                entry.file.value((*entry.path, "playbook")),
                label=context.none_such("playbook"),
                help=suggest(playbook, known) or f"write it: `[playbook.{playbook[:40]}]`",
            )
        )


def _check_when(when: dict[str, object], entry: Entry, context: Context) -> None:
    """What the keys of `when` need of each other."""
    path: KeyPath = (*entry.path, "when")
    file, findings = entry.file, context.findings
    forms = [form for form in _FORMS if form in when]
    if len(forms) != 1:
        listed = " and ".join(f"`{form}`" for form in forms) or "none of them"
        findings.add(
            error(
                "H041",
                f"`when` of {entry.what} needs exactly one of `all`, `any` and `sequence`",
                file.key((*path, forms[1])) if forms else file.value(path),
                label=f"here is {listed}",
                help="to need both, write two rules for one incident type: they share the incident of a key"
                if forms
                else 'name the signals, as in `all = ["loss-spike"]`',
            )
        )
    for form in (*_FORMS, "none"):
        if when.get(form) == []:
            findings.add(
                error(
                    "H042",
                    f"`{form}` of {entry.what} is empty",
                    file.value((*path, form)),
                    label="no signals",
                    help=f'name at least one signal, as in `{form} = ["loss-spike"]`',
                )
            )
    choice, at_least = when.get("any"), when.get("at_least")
    if isinstance(choice, list) and isinstance(at_least, int):
        distinct = len({each for each in choice if isinstance(each, str)})
        if at_least > distinct > 0:
            findings.add(
                error(
                    "H043",
                    f"`at_least = {at_least}` can never be reached",
                    file.value((*path, "at_least")),
                    label=f"`any` has {distinct} signal{'' if distinct == 1 else 's'}",
                    help=f"write at most {distinct}, or name more signals",
                )
            )
    for key, needed in (("at_least", "any"), ("wait", "none")):
        if key in when and needed not in when:
            findings.add(
                error(
                    "H044",
                    f"`{key}` of {entry.what} has nothing to act on",
                    file.key((*path, key)),
                    label=f"goes with `{needed}`",
                    help=f"remove `{key}`, or add `{needed} = [..]`",
                )
            )


def _used_signals(entry: Entry) -> Iterator[tuple[KeyPath, str]]:
    """Each signal that `when` names, with its place."""
    when = entry.table.get("when")
    for form in (*_FORMS, "none"):
        listed = when.get(form) if isinstance(when, dict) else None
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str):
                yield (*entry.path, "when", form, index), name


def _check_signals(used: list[tuple[KeyPath, str]], entry: Entry, context: Context) -> None:
    """The signals exist, and each has the keys that the rule joins them by."""
    known, reported = context.names.of("signal"), set()
    by = entry.table.get("by")
    joined = [each for each in by if isinstance(each, str)] if isinstance(by, list) else []
    for place, name in used:
        signal = known.get(name)
        if signal is None:
            context.findings.add(
                error(
                    "H011",
                    f"unknown signal {quoted(name)}",
                    entry.file.value(place),
                    label=context.none_such("signal"),
                    help=suggest(name, known) or f"write it: `[signal.{name[:40]}]`",
                )
            )
            continue
        if name in reported:
            continue
        reported.add(name)
        keys = signal.table.get("by", {})
        for index, key in enumerate(joined):
            if isinstance(keys, dict) and key not in keys:
                has = f"it has {', '.join(f'`{each}`' for each in keys)}" if keys else "it has no `by`"
                context.findings.add(
                    error(
                        "H040",
                        f"signal {quoted(name)} has no key {quoted(key)} to join by",
                        entry.file.value((*entry.path, "by", index)),
                        label=f"{entry.what} joins by this",
                        help=suggest(key, keys) or f'add `{key[:40]} = "event.…"` to `by` of the signal',
                        notes=(Note(span=signal.file.key(signal.path), label=has),),
                    )
                )
