"""What docs/operations.md tells operators to type does what it says."""

import base64
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.group import COMMANDS
from engine.config import Config
from engine.intake.signatures import Proved, prove, read_key
from tests.support.stored import make_database

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_the_backup_commands_copy_a_database_that_is_in_use_and_restore_it(tmp_path):
    """The copy is whole while a writer holds the original open; `tail` alone brings it back."""
    assert "halon state export /backup/halon-$(date +%F).halon" in PAGE
    assert "`tail -n +2 FILE > halon.db`" in PAGE
    database = make_database(tmp_path / "halon.db")
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "."\n')
    command = [sys.executable, "-m", "engine.cli", "state", "export", "copy.halon", "--config", "config.toml"]
    with sqlite3.connect(database) as writer:
        writer.execute("BEGIN IMMEDIATE")
        subprocess.run(command, check=True, cwd=tmp_path)
        writer.rollback()
    subprocess.run("tail -n +2 copy.halon > plain.db", check=True, cwd=tmp_path, shell=True)
    copy = sqlite3.connect(tmp_path / "plain.db")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copy.execute("SELECT count(*) FROM leases").fetchone() == (1,)
    copy.close()


def test_every_command_that_is_named_exists():
    """`halon NAME` of the page is a command."""
    named = set(re.findall(r"`halon ([a-z]+)", PAGE)) | set(re.findall(r"^\$ halon ([a-z]+)", PAGE, re.MULTILINE))
    assert named - set(COMMANDS) == set()
    assert len(named) >= 8


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`(\w+\.\w+(?:\.\w+)?)`", PAGE))))
def test_every_key_of_the_config_that_is_named_exists(key):
    """`table.key` of the page is in the config, where its table is."""
    table, name, *_ = key.split(".")
    if table not in Config.__struct_fields__:
        assert key in {"config.toml.new", "halon.db"} or not hasattr(Config(), table)
        return
    assert name in type(getattr(Config(), table)).__struct_fields__


@pytest.mark.parametrize("name", sorted(set(re.findall(r"DROPINS=([\w-]+)", PAGE))))
def test_every_drop_in_that_is_named_is_shipped(name):
    """`make install DROPINS=NAME` finds it."""
    assert (ROOT / f"systemd/drop-ins/{name}.conf").is_file()


def test_every_link_leads_somewhere():
    """Pages and headings that are linked exist."""
    headings = {
        re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-")
        for text in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        page, _, heading = target.partition("#")
        assert heading in headings if not page else (ROOT / "docs" / page).is_file(), target


def test_the_snippet_that_signs_is_one_that_is_believed():
    """As it stands on the page, against the key file that `halon sign key hmac` writes."""
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(snippet, names)  # the page's own text
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    for body in (b"", b'{"a": "\xc3\xa4"}', bytes(range(256))):
        assert isinstance(prove([read_key(secret)], names["beside"](secret, body), body), Proved)
