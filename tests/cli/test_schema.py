"""`halon schema` against the loader, the validator of JSON Schema's own community, and the real `taplo` and `tombi`."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import tomli
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cli import main
from engine.cli.init import FILES
from engine.cli.keywords import MEANINGS
from engine.cli.schema import rule_schema
from engine.detectors.table import DETECTORS
from engine.diagnostics import has_errors, render
from engine.rulefile.load import check_files
from engine.tomlfile import TomlFile, parse_toml
from tests.support import plugins
from tests.support.languageserver import completions
from tests.support.realparts import missing
from tests.support.rules import catalogue
from tests.support.rulesets import WHOLE_LANGUAGE

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = [path for path in sorted((ROOT / "rules").rglob("*.toml")) if not path.name.endswith(".test.toml")]
SHAPE = {"H004", "H005", "H006", "H008", "H010", "H012", "H015", "H030", "H041", "H042"}
"""Mistakes that stand in one place, which the schema must see too."""


@pytest.fixture(scope="module")
def schema():
    """What the command prints."""
    result = CliRunner().invoke(main, ["schema"], prog_name="halon")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def validator(schema):
    """A validator of what the command prints."""
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def objections(validator, text):
    """What the schema has against a rule file."""
    return [
        f"{'/'.join(map(str, each.absolute_path))}: {each.message[:200]}"
        for each in validator.iter_errors(tomli.loads(text))
    ]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_shipped_rules_are_valid(validator, path):
    """What `halon check` takes, an editor takes."""
    assert objections(validator, path.read_text(encoding="utf-8")) == []


def test_the_examples_of_all_actions_are_valid(validator):
    """Each action's example is a step for the schema too."""
    steps = ",\n".join(each.example for each in catalogue().actions.values())
    assert objections(validator, f"[playbook.p]\ncontain = [{steps}]\n") == []


def test_every_key_is_explained(schema):
    """Editors show a sentence beside each key of each table, of `detect` and of steps."""
    tables = {name: next(iter(each["patternProperties"].values())) for name, each in schema["properties"].items()}
    tables["when"] = tables["rule"]["properties"]["when"]
    tables |= {name: each["allOf"][0] for name, each in schema["$defs"].items()}
    assert tables.keys() == MEANINGS.keys()
    for name, table in tables.items():
        assert MEANINGS[name].keys() <= table["properties"].keys()
        assert [key for key, spec in table["properties"].items() if not spec.get("description")] == []


def test_patterns_are_those_of_json_schema(schema):
    """No pattern holds what only Python reads: an editor would take it for another, or refuse the schema."""

    def patterns(value):
        if isinstance(value, dict):
            for key, each in value.items():
                yield from [each] if key == "pattern" else patterns(each)
        elif isinstance(value, list):
            for each in value:
                yield from patterns(each)

    found = set(patterns(schema))
    assert len(found) > 5
    assert [each for each in found if re.search(r"\\[AZz]|\(\?P|\(\?[aiLmsux]", each)] == []


GOOD = tomli.loads(FILES["slow-model.toml"])


def changed(*path, to):
    """The good file with one value changed."""
    table = copy.deepcopy(GOOD)
    inner = table
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return table


@pytest.mark.parametrize(
    ("table", "valid"),
    [
        (GOOD, True),
        (changed("signal", "slow-answers", "detect", "within", to="1m30s"), True),
        (changed("signal", "slow-answers", "detect", "within", to="a minute"), False),
        (changed("signal", "slow-answers", "detect", "method", to="counting"), False),
        (changed("signal", "slow-answers", "detect", "atleast", to=3), False),
        (changed("signal", "slow-answers", "detect", "above", to=3), False),
        (changed("signal", "slow-answers", "on", to=["a.b", "c.*"]), True),
        (changed("signal", "slow-answers", "on", to="a.*.b"), False),
        (changed("signal", "slow-answers", "on", to=[]), False),
        (changed("signal", "slow-answers", "on", to=7), False),
        (changed("signal", "slow-answers", "by", to={"the run": "event.subject"}), False),
        (changed("signal", "Slow", to={"on": "x"}), False),
        (changed("list", to={"bad-hosts": {"values": []}}), False),
        (changed("rule", "slow-model", "severity", to="huge"), False),
        (changed("rule", "slow-model", "incident", to=None), False),
        (changed("rule", "slow-model", "when", "any", to=["slow-answers"]), False),
        (changed("rule", "slow-model", "when", to={"within": "1m"}), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "do", to="evidence.captur"), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "pid", to="${event.data.pid}"), True),
        (changed("playbook", "keep-the-log", "investigate", 0, "pid", to="4242"), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "on_failure", to="continue"), True),
        (changed("playbook", "keep-the-log", to={"title": "nothing to do"}), False),
        (changed("rules", to={}), False),
    ],
)
def test_the_schema_tells_right_from_wrong(validator, table, valid):
    """Unknown keys, methods and actions, wrong types and bad durations are seen by an editor."""
    assert validator.is_valid(table) is valid


PLUGGED = jsonschema.Draft7Validator(rule_schema(plugins.CATALOGUE, plugins.DETECTORS))
GOLDEN = [
    folder
    for folder in sorted((ROOT / "tests" / "golden" / "diagnostics").iterdir())
    if [each.name for each in folder.glob("*.toml")] == ["rules.toml"]
]


def judged(content, *, actions=plugins.CATALOGUE, detectors=plugins.DETECTORS):
    """What the loader finds in one file; None where it is not TOML."""
    file = parse_toml(content, "rules.toml")
    return check_files([file], catalogue=actions, detectors=detectors)[1] if isinstance(file, TomlFile) else None


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_the_schema_agrees_with_the_loader_on_every_golden_mistake(folder):
    """What loads is valid; a mistake of shape is none to the schema only where templates or bounds hide it."""
    content = (folder / "rules.toml").read_bytes()
    found = judged(content)
    if found is None:
        return  # not TOML: an editor says so by itself
    valid = PLUGGED.is_valid(tomli.loads(content.decode()))
    if not has_errors(found):
        assert valid
    elif {each.code for each in found} & SHAPE - {"H008"}:
        assert not valid, render(found)


def blocks(page):
    """The TOML blocks of a page that are rule files."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [each for each in found if re.match(r"(#.*\n|\s)*\[(signal|rule|list|incident|playbook)\.", each)]


@pytest.mark.parametrize("page", ["rules.md", "diagnostics.md"])
def test_what_loads_from_the_documentation_is_valid(validator, page):
    """Every example of the pages that the loader takes is valid."""
    loaded = 0
    for block in blocks(page):
        found = judged(block.encode(), actions=catalogue(), detectors=DETECTORS)
        if found is not None and not has_errors(found):
            loaded += 1
            assert objections(validator, block) == [], block
    assert loaded >= (2 if page == "rules.md" else 10)


SPELLED = {
    "text": st.sampled_from(["loss-spike", "${event.id}", "5m", "critical", "training.*", "", "a b", "x", "observe"]),
    "number": st.sampled_from([0, 1, 2, 17, -1, 0.5, 1.0, 2**64]),
    "truth": st.booleans(),
    "list": st.sampled_from([[], ["loss-spike"], ["loss-spike", "label-flips"], [1], [[]], ["${event.id}"]]),
    "table": st.sampled_from([{}, {"run": "event.subject"}, {"method": "count"}, {"do": "file.delete", "path": "x"}]),
}
KEYS = sorted({key for keys in MEANINGS.values() for key in keys} | {"path", "depth", "job", "grace", "above", "extra"})


def places(table, path=()):
    """Every place of a value in nested tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def toml(value):
    """A value as inline TOML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value)


WHOLE = tomli.loads(WHOLE_LANGUAGE)
PLACES = sorted(places(WHOLE), key=str)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLACES),
            st.sampled_from(["set", "drop", "add"]),
            st.sampled_from(KEYS),
            st.one_of(*SPELLED.values()),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_the_loader_takes_the_schema_takes(edits):
    """Files edited at random: none that loads is wrong to the schema, and none of a wrong shape is right to it."""
    table = copy.deepcopy(WHOLE)
    for path, how, key, drawn in edits:
        value = copy.deepcopy(drawn)  # a later edit may change it, and it is drawn again for other files
        inner = table
        try:
            for part in path[:-1]:
                inner = inner[part]
            inner[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier edit took the place away
        if how == "set":
            inner[path[-1]] = value
        elif how == "drop":
            del inner[path[-1]]
        elif isinstance(inner[path[-1]], dict):
            inner[path[-1]][key] = value
    text = "".join(f"{name} = {toml(each)}\n" for name, each in table.items())
    found = judged(text.encode())
    assert found is not None, text
    problems = objections(PLUGGED, text)
    if not has_errors(found):
        assert problems == []
    elif any(each.code in {"H004", "H005", "H006", "H010", "H012", "H015"} for each in found):
        assert problems, render(found)


def taplo(*args):
    """The real taplo: its exit code and what it says."""
    path = shutil.which("taplo", path=str(Path(sys.executable).parent)) or missing("`taplo` is missing: make setup")
    done = subprocess.run([path, "--colors", "never", *map(str, args)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def schema_file(schema, tmp_path_factory):
    """The schema as an operator would save it."""
    path = tmp_path_factory.mktemp("schema") / "halon.schema.json"
    path.write_text(json.dumps(schema), encoding="utf-8")
    return path


def test_the_real_taplo_takes_the_shipped_rules(schema_file, tmp_path):
    """The editors' own checker finds nothing in the shipped rules, nor in every action's example."""
    examples = tmp_path / "examples.toml"
    steps = ",\n  ".join(each.example for each in catalogue().actions.values())
    examples.write_text(f"[playbook.p]\ncontain = [\n  {steps},\n]\n", encoding="utf-8")
    for path in (*RULES, examples):
        code, said = taplo("lint", "--schema", schema_file.as_uri(), path)
        assert code == 0, said


def test_the_real_taplo_reads_the_schema_named_in_a_rule_file(schema_file, tmp_path):
    """`#:schema` in the first line is enough, and each mistake is told at its place, not at the table around it."""
    path = tmp_path / "rules.toml"
    good = FILES["slow-model.toml"]
    path.write_text(f"#:schema {schema_file.as_uri()}\n{good}", encoding="utf-8")
    assert taplo("lint", path)[0] == 0
    bad = good.replace('"1m"', "60").replace('"high"', '"hihg"').replace("evidence.capture", "evidence.captur")
    path.write_text(f"#:schema {schema_file.as_uri()}\n{bad}", encoding="utf-8")
    code, said = taplo("lint", path)
    assert code == 1
    lines = {text: number for number, text in enumerate(path.read_text().splitlines(), 1)}
    for wrong, message in (
        ("within = 60", "60 is not valid under any of"),
        ('"hihg"', '"hihg" is not one of'),
        ("evidence.captur", '"evidence.captur" is not one of'),
    ):
        line = next(number for text, number in lines.items() if wrong in text)
        assert message in said
        assert f"rules.toml:{line}:" in said
    assert said.count("error: ") == 3, said


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("[|", {"signal", "rule", "playbook", "list", "incident"}),
        ('[signal.a]\non = "x"\nd|\n', {"detect", "description"}),
        ('[signal.a]\non = "x"\ndetect = { method = "|" }\n', {'"count"', '"likelihood"', '"absence"'}),
        ('[signal.a]\non = "x"\ndetect = { method = "count", a| }\n', {"at_least"}),
        ('[rule.a]\nseverity = "|"\n', {'"low"', '"medium"', '"high"', '"critical"'}),
        ('[playbook.a]\ncontain = [{ do = "|" }]\n', {'"slurm.suspend"', '"nftables.isolate"'}),
        ('[playbook.a]\ncontain = [{ do = "slurm.suspend", j| }]\n', {"job"}),
    ],
)
def test_an_editor_offers_what_may_stand_at_the_cursor(schema_file, tmp_path, text, offered):
    """By the real language server tombi: tables, keys, methods, severities, actions and the parameters of an action."""
    tombi = shutil.which("tombi", path=str(Path(sys.executable).parent)) or missing("`tombi` is missing: make setup")
    line = f"#:schema {schema_file.as_uri()}\n"
    assert offered <= set(completions([tombi, "lsp", "--offline"], tmp_path, line + text))
