"""`halon check --live`: everything at once with its place, on a real broker; the exit code says whether it does."""

import json
import os

from click.testing import CliRunner

from engine.cli import main
from tests.support.mosquitto import Mosquitto
from tests.support.realparts import free_port

RULES = """
[signal.bad]
on = "x"

[rule.bad]
incident = "availability"
severity = "low"
when     = { any = ["bad"] }
playbook = "drain"

[playbook.drain]
contain = [{ do = "haproxy.drain", backend = "b", server = "s" }]
"""


def check(folder, *args):
    result = CliRunner().invoke(main, ["check", "--config", str(folder / "config.toml"), *args], prog_name="halon")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def site(folder, port, more=""):
    os.chmod(folder, 0o755)
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "a.toml").write_text(RULES)
    (folder / "config.toml").write_text(f'[daemon]\nstate_dir = "state"\n[[mqtt]]\nport = {port}\n{more}')
    for path in (folder / "rules" / "a.toml", folder / "config.toml"):
        os.chmod(path, 0o644)


def test_a_site_that_works_passes(tmp_path):
    """Broker up, no action but one that the rules do not need here."""
    with Mosquitto(tmp_path) as broker:
        site(tmp_path, broker.port)
        (tmp_path / "rules" / "a.toml").write_text(RULES.partition("playbook")[0])
        result = check(tmp_path, "--live")
        assert result.exit_code == 0, result.output
        assert "H07" not in result.output


def test_all_that_is_wrong_is_said_at_once_with_its_place(tmp_path):
    """Secret, broker, action and a rule file that anybody may change; without --live none of it is looked at."""
    port = free_port()
    site(tmp_path, port, f'[[mqtt]]\nname = "b"\nport = {port}\npassword_file = "none"\n')
    with (tmp_path / "config.toml").open("a") as file:
        file.write('[actions."haproxy.drain"]\nsocket = "/none.sock"\n')
    os.chmod(tmp_path / "rules" / "a.toml", 0o666)
    result = check(tmp_path, "--live", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["diagnostics"]
    assert sorted((each["code"], each["level"]) for each in found if each["code"].startswith("H07")) == [
        ("H070", "error"),
        ("H071", "warning"),
        ("H072", "error"),
        ("H072", "error"),
    ]
    lines = {each["title"].split(":")[0]: each["line"] for each in found if each["code"] == "H072"}
    assert lines == {"broker `local`": 3, "`haproxy.drain`": 9}
    assert check(tmp_path).exit_code == 0
    assert "H072" in check(tmp_path, "--live").output
