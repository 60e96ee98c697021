"""config.toml: its defaults, and every mistake in it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Config
from engine.configfile import check_config, load_config, resolve_path
from engine.diagnostics import Diagnostic
from engine.tomlfile import parse_toml
from tests.support.plugins import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent


def check(text, **options):
    return check_config(parse_toml(text.encode(), "config.toml"), **options)


def test_the_shipped_config_writes_out_the_defaults():
    """What stands in config.toml is what holds without it; only the example of a budget is there beside."""
    config, found = load_config(ROOT / "config.toml", catalogue=CATALOGUE)
    assert found == []
    written = parse_toml((ROOT / "config.toml").read_bytes(), "config.toml").table
    defaults = Config()
    assert config.guards.budget.keys() == {"endpoint"}
    assert config.guards.budget["endpoint"] == type(config.guards.budget["endpoint"])()
    for name in Config.__struct_fields__:
        if name not in ("guards", "actions"):
            assert getattr(config, name) == getattr(defaults, name), name
    assert (config.guards.mode, config.guards.protected, config.guards.approval_timeout, config.actions) == (
        defaults.guards.mode,
        defaults.guards.protected,
        defaults.guards.approval_timeout,
        {},
    )
    for name, table in written.items():
        section = getattr(config, name)
        fields = set((section[0] if isinstance(section, tuple) else section).__struct_fields__)
        assert set(table[0] if isinstance(table, list) else table) == fields, f"config.toml lacks keys of [{name}]"


def test_without_a_file_the_defaults_hold():
    """No path gives the defaults; an empty file too."""
    assert load_config(None) == (Config(), [])
    assert check("") == (Config(), [])


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("[deamon]\n", "H004", 1, 2),
        ("[daemon]\nstate_dri = 1\n", "H004", 2, 1),
        ('[[mqtt]]\nname = "http"\n', "H060", 2, 8),
        ('[daemon]\nlog_levels = { "engine.intake" = "loud" }\n', "H007", 2, 34),
        ("[intake]\nbatch_events_max = 0\n", "H007", 2, 20),
        ('[intake]\nbatch_age = "20 ms"\n', "H008", 2, 13),
        ('[contain]\nreconcile_every = "0s"\n', "H007", 2, 19),
        ('[daemon]\nlog_level = "loud"\n', "H007", 2, 13),
        ('[[mqtt]]\nport = "1883"\n', "H006", 2, 8),
        ("[mqtt]\nport = 1883\n", "H006", 1, 1),
        ("[[mqtt]]\ntopics = [{ format = 'cloudevents' }]\n", "H005", 2, 11),
        ('[[mqtt]]\nname = "a"\n[[mqtt]]\nname = "a"\n', "H060", 4, 8),
        ("[[mqtt]]\n[[mqtt]]\n", "H060", 2, 1),
        ('[[mqtt]]\ntopics = [{ filter = "x", format = "json" }]\n', "H061", 2, 36),
        ('[[mqtt]]\ntopics = [{ filter = "x", map = { type = "payload.t" } }]\n', "H061", 2, 27),
        ('[[mqtt]]\ntopics = [{ filter = "x", format = "falco", map = { type = "payload.t" } }]\n', "H061", 2, 45),
        ('[[mqtt]]\ntopics = [{ filter = "x", format = "falcon" }]\n', "H007", 2, 36),
        ('[[http.senders]]\nname = "x"\nformat = "json"\n', "H061", 3, 10),
        ('[[http.senders]]\nname = "x"\nmap = { type = "payload.t" }\n', "H061", 3, 1),
        ('[[mqtt]]\ntopics = [{ filter = "a/#/b" }]\n', "H062", 2, 22),
        ('[[mqtt]]\nclient = "mqtt5"\n', "H063", 2, 10),
        ('[[mqtt]]\nprotocol = "3.1.1"\npacket_bytes_max = 1000\n', "H063", 3, 20),
        ('[[mqtt]]\ntopics = [{ filter = "x", format = "json", map = { type = "payloat.t" } }]\n', "H021", 2, 60),
        ('[guards]\nprotected = "target.nmae == 1"\n', "H021", 2, 21),
        ('[guards]\nprotected = "target.name"\n', "H022", 2, 14),
        ("[guards.budget.endpoint]\nserving_min = 1.5\n", "H007", 2, 15),
        ('[actions."slurm.suspnd"]\n', "H012", 1, 10),
        ('[actions."slurm.suspend"]\nendpiont = "x"\n', "H004", 2, 1),
        ("mqtt = 3\nactions = 4\nguards = 5", "H006", 1, 8),
        ("[daemon", "H002", 1, 8),
    ],
)
def test_a_mistake_is_shown_at_its_place(text, code, line, column):
    """Each has its code at its line and column, and there is no config then."""
    file = parse_toml(text.encode(), "config.toml")
    config, found = (None, [file]) if isinstance(file, Diagnostic) else check_config(file, catalogue=CATALOGUE)
    assert config is None
    assert (code, line, column) in [(each.code, each.span.line, each.span.column) for each in found]


def test_topics_of_plain_json_and_protected_targets_are_read():
    """What is sound passes, CEL included."""
    config, found = check(
        '[[mqtt]]\ntopics = [{ filter = "site/+/#", format = "json", map = { type = "topic[1]", data = "payload" } }]\n'
        "[guards]\nprotected = \"target.labels.tier == 'gold'\"\n"
    )
    assert found == []
    assert config.mqtt[0].topics[0].map.type == "topic[1]"


def test_paths_start_at_the_folder_of_the_config():
    """Relative paths are relative to the file, absolute ones stay."""
    assert resolve_path("rules", Path("/etc/halon/config.toml")) == Path("/etc/halon/rules")
    assert resolve_path("/srv/rules", Path("/etc/halon/config.toml")) == Path("/srv/rules")
    assert resolve_path("rules", None) == Path("rules")


def test_a_file_that_is_not_there_is_a_diagnostic(tmp_path):
    """The path is named as the operator wrote it."""
    config, found = load_config(tmp_path / "none.toml", shown="none.toml")
    assert (config, [each.code for each in found]) == (None, ["H001"])
    assert "`none.toml`" in found[0].title


_LINES = (ROOT / "config.toml").read_text(encoding="utf-8").splitlines()


@settings(max_examples=40)
@given(st.lists(st.sampled_from(_LINES) | st.text("[]=\"'.#x1 ", max_size=8), max_size=25))
def test_any_shuffle_of_lines_gives_a_config_or_findings(lines):
    """Half-edited files are read or refused with diagnostics, never with an exception."""
    file = parse_toml("\n".join(lines).encode(), "config.toml")
    if isinstance(file, Diagnostic):
        assert file.code in {"H002", "H003", "H009"}
    else:
        config, found = check_config(file, catalogue=CATALOGUE)
        assert (config is None) == bool(found)
