"""`halon schema` against the validator of JSON Schema's own community."""

import json
from pathlib import Path

import jsonschema
import pytest
import tomli
from click.testing import CliRunner

from engine.cli import main
from engine.cli.init import FILES

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = [path for path in sorted((ROOT / "rules").rglob("*.toml")) if not path.name.endswith(".test.toml")]


@pytest.fixture(scope="module")
def validator():
    """A validator of what the command prints."""
    result = CliRunner().invoke(main, ["schema"], prog_name="halon")
    assert result.exit_code == 0, result.output
    schema = json.loads(result.stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_shipped_rules_are_valid(validator, path):
    """What `halon check` takes, an editor takes."""
    assert [error.message for error in validator.iter_errors(tomli.loads(path.read_text()))] == []


GOOD = tomli.loads(FILES["slow-model.toml"])


def changed(*path, to):
    """The good file with one value changed."""
    copy = json.loads(json.dumps(GOOD))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("table", "valid"),
    [
        (GOOD, True),
        (changed("signal", "slow-answers", "detect", "within", to="1m30s"), True),
        (changed("signal", "slow-answers", "detect", "within", to="a minute"), False),
        (changed("signal", "slow-answers", "detect", "method", to="counting"), False),
        (changed("signal", "slow-answers", "detect", "atleast", to=3), False),
        (changed("signal", "slow-answers", "on", to=["a.b", "c.*"]), True),
        (changed("signal", "slow-answers", "on", to=7), False),
        (changed("rule", "slow-model", "severity", to="huge"), False),
        (changed("rule", "slow-model", "incident", to=None), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "do", to="evidence.captur"), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "pid", to="${event.data.pid}"), True),
        (changed("playbook", "keep-the-log", "investigate", 0, "pid", to="4242"), False),
        (changed("playbook", "keep-the-log", "investigate", 0, "on_failure", to="continue"), True),
        (changed("rules", to={}), False),
    ],
)
def test_the_schema_tells_right_from_wrong(validator, table, valid):
    """Unknown keys, methods and actions, wrong types and bad durations are seen by an editor."""
    assert validator.is_valid(table) is valid
