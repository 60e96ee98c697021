"""Folders of rule files to a rule set, or to every mistake of every file."""

import time

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.cel.contract import Scope
from engine.cel.template import Template
from engine.diagnostics import Diagnostic, has_errors, render
from engine.model import Event, Mode, OnFailure, Severity
from engine.rulefile.load import load_rules
from engine.rulefile.rules import All, AnyOf, EventTypes, Sequence
from engine.rulefile.taxonomy import TAXONOMY
from engine.tomlfile import TomlFile, parse_toml
from tests.support.plugins import CATALOGUE, DETECTORS, Count, Mean
from tests.support.rulesets import WHOLE_LANGUAGE, check, sound


def test_the_whole_language_is_read():
    """Every construct of a rule file arrives in the rule set with its meaning."""
    rules = sound(WHOLE_LANGUAGE)
    spike, flips = rules.signals["loss-spike"], rules.signals["label-flips"]
    assert spike.on == EventTypes(exact=frozenset({"training.step"}))
    assert flips.on == EventTypes(exact=frozenset({"training.batch"}), prefixes=("data.",))
    assert [name for name, _ in spike.by] == ["model", "run"]
    assert (spike.for_us, spike.cooldown_us, spike.description) == (120_000_000, 300_000_000, "the loss jumps")
    assert (spike.detect.detector, spike.detect.params.above) == (Mean, 8.0)
    assert (flips.detect.detector, flips.detect.params.at_least) == (Count, 20)
    assert rules.signals["maintenance"].detect is None
    assert rules.lists == {"watched_runs": ("run-7", "run-8")}
    assert rules.incidents == TAXONOMY | {"gpu-meltdown": "too hot"}

    poisoning = rules.rules["data-poisoning"]
    assert poisoning.when.of == All(("loss-spike", "label-flips"))
    assert (poisoning.when.within_us, poisoning.when.wait_us) == (600_000_000, 60_000_000)
    assert (poisoning.when.none, poisoning.when.corroborate) == (("maintenance",), 2)
    assert (poisoning.severity, poisoning.by, poisoning.mode) == (Severity.CRITICAL, ("run",), Mode.OBSERVE)
    assert (poisoning.playbook, poisoning.tags) == ("halt-training", ("atlas:AML.T0020",))
    assert (poisoning.title, poisoning.owner, poisoning.false_positives) == (
        "Poisoned",
        "ml-security",
        ("warm restarts",),
    )
    assert poisoning.place == f"0.toml:{WHOLE_LANGUAGE.splitlines().index('[rule.data-poisoning]') + 1}"
    assert rules.rules["either"].when.of == AnyOf(("loss-spike", "label-flips"), at_least=2)
    assert rules.rules["ordered"].when.of == Sequence(("loss-spike", "label-flips", "loss-spike"))

    halt = rules.playbooks["halt-training"]
    first, second = halt.contain
    assert isinstance(first.params["job"], Template)
    assert [type(each) for each in first.params["nodes"]] == [Template, str]
    assert (first.hold_us, first.timeout_us, first.retries) == (86_400_000_000, 30_000_000, 2)
    assert (second.on_failure, second.timeout_us, second.retries) == (OnFailure.CONTINUE, 90_000_000, 0)
    assert second.params == {"job": "17", "grace": "5s"}
    assert halt.investigate[0].params["path"].parts == ("a ${b}",)
    assert halt.investigate[0].when.source == "incident.severity == 'critical'"
    assert halt.recover[0].approve is True


def test_conditions_evaluate_on_events():
    """The expressions of a loaded signal are the real ones, lists included."""
    rules = sound(WHOLE_LANGUAGE)
    flips = rules.signals["label-flips"]
    seen, other = (Event(id="1", source="s", type="training.batch", time_us=0, subject=run) for run in ("run-7", "x"))
    assert flips.where.evaluate(Scope(event=seen)) is True
    assert flips.where.evaluate(Scope(event=other)) is False
    assert flips.by[0][1].evaluate(Scope(event=seen)) == "run-7"


def test_steps_take_the_defaults_of_the_config():
    """A step without `timeout` and `retries` gets those of `[contain]`."""
    rules = sound(WHOLE_LANGUAGE, step_timeout_us=5, step_retries=7)
    first, second = rules.playbooks["halt-training"].contain
    assert (first.timeout_us, first.retries, second.timeout_us, second.retries) == (5, 7, 90_000_000, 0)


def test_files_share_one_namespace(tmp_path):
    """A rule may use signals, playbooks and lists of other files, in any order of the files."""
    parts = WHOLE_LANGUAGE.split("\n\n")
    folder = tmp_path / "rules" / "deep"
    folder.mkdir(parents=True)
    for number, part in enumerate(reversed(parts)):
        (folder.parent if number % 2 else folder).joinpath(f"{number}.toml").write_text(part)
    rules, found = load_rules([tmp_path / "rules"], catalogue=CATALOGUE, detectors=DETECTORS)
    assert not has_errors(found), render(found)
    assert rules.rules.keys() == {"data-poisoning", "either", "ordered"}
    assert rules.digest == sound(WHOLE_LANGUAGE).digest
    assert len(rules.files) == len(parts)


def test_mistakes_of_all_files_come_in_one_run():
    """A file that is not TOML, one with an unknown name and one with bad CEL are all reported."""
    rules, found = check(
        "[signal.x", '[playbook.p]\ncontain = [{ do = "x" }]\n', '[signal.a]\non = "t"\nwhere = "1 +"\n'
    )
    assert rules is None
    assert [(each.code, each.span.path) for each in found] == [
        ("H002", "0.toml"),
        ("H012", "1.toml"),
        ("H020", "2.toml"),
    ]


def test_warnings_leave_the_rules_usable():
    """What is only suspicious does not keep the rules from loading."""
    rules, found = check('[signal.a]\non = "t"\n')
    assert rules.signals.keys() == {"a"}
    assert found
    assert not has_errors(found)


def test_a_rule_set_of_very_many_rules_loads_in_bounded_time():
    """Two thousand signals and rules of one condition load in seconds, and the places are theirs."""
    text = "".join(
        f'[signal.s{n}]\non = "t"\nwhere = "event.data.score > {n}.0"\n[rule.r{n}]\nincident = "availability"\n'
        f'severity = "low"\nwhen = {{ all = ["s{n}"] }}\n'
        for n in range(2_000)
    )
    start = time.perf_counter()
    rules = sound(text)
    assert len(rules.rules) == 2_000
    assert rules.rules["r1999"].place == f"0.toml:{1999 * 7 + 4}"
    assert time.perf_counter() - start < 20


def test_very_many_mistakes_end_in_bounded_time():
    """Findings stop at their limit, and the last one says so."""
    text = "".join(
        f'[rule.r{n}]\nincident = "availabilty"\nseverity = "lo"\nwhen = {{ all = ["x{n}"] }}\n' for n in range(3_000)
    )
    start = time.perf_counter()
    rules, found = check(text)
    assert rules is None
    assert (len(found), found[-1].code) == (1_001, "H003")
    assert time.perf_counter() - start < 20


def test_a_long_list_is_loaded():
    """A hundred thousand values of a list are fine."""
    text = "[list.big]\nvalues = [" + ",".join(f'"h{n}"' for n in range(100_000)) + "]\n"
    assert len(sound(text + '[signal.a]\non = "t"\nwhere = "event.subject in list.big"\n').lists["big"]) == 100_000


_FRAGMENTS = [line for line in WHOLE_LANGUAGE.splitlines() if line]
_PIECES = st.sampled_from(_FRAGMENTS) | st.builds(
    lambda line, at, text: line[:at] + text + line[at + 1 :],
    st.sampled_from(_FRAGMENTS),
    st.integers(0, 80),
    st.text("[]{}=\"'.#$x1 \\\n", max_size=3),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(_PIECES, max_size=30).map("\n".join)
    | st.builds(
        lambda at, line: "\n".join([*_FRAGMENTS[:at], line, *_FRAGMENTS[at + 1 :]]),
        st.integers(0, len(_FRAGMENTS)),
        _PIECES,
    )
)
def test_any_half_edited_file_gives_rules_or_findings(text):
    """Shuffled and damaged lines never raise; there are rules exactly where no finding is an error."""
    rules, found = check(text)
    assert (rules is None) == has_errors(found)
    assert all(isinstance(each, Diagnostic) for each in found)
    assert isinstance(render(found), str)


_JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text("ab${}.*[ '\"", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-_", max_size=3), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    [
        *(
            "on",
            "where",
            "by",
            "value",
            "detect",
            "for",
            "cooldown",
            "incident",
            "severity",
            "when",
            "playbook",
            "mode",
        ),
        *("tags", "contain", "recover", "do", "hold", "values", "all", "any", "sequence", "none", "at_least", "within"),
        *("wait", "corroborate", "method", "of"),
    ]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["signal", "rule", "playbook", "list", "incident", "x"]),
        st.dictionaries(
            st.sampled_from(["a", "a-b", "B", ""]),
            st.dictionaries(_KEYS, _JSONISH | st.dictionaries(_KEYS, _JSONISH, max_size=4), max_size=6) | _JSONISH,
            max_size=3,
        )
        | _JSONISH,
        max_size=5,
    )
)
def test_any_values_in_any_place_give_rules_or_findings(tables):
    """Whatever stands where a value is expected, the loader answers with findings, never with an exception."""

    def spelled(value):
        match value:
            case dict():
                return (
                    "{" + ", ".join(f"{msgspec.json.encode(k).decode()} = {spelled(v)}" for k, v in value.items()) + "}"
                )
            case list():
                return "[" + ", ".join(map(spelled, value)) + "]"
            case None:
                return "1979-05-27"
            case float():
                return repr(value)
            case _:
                return msgspec.json.encode(value).decode()

    text = "".join(f"{key} = {spelled(value)}\n" for key, value in tables.items())
    file = parse_toml(text.encode(), "x.toml")
    assert isinstance(file, TomlFile), (text, file)
    rules, found = check(text)
    assert (rules is None) == has_errors(found)


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_give_rules_or_findings(content):
    """No byte string raises."""
    rules, found = check(content)
    assert (rules is None) == has_errors(found)
