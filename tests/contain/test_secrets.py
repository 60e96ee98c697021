"""Secrets from real files, a credentials directory and an environment; and that they show up nowhere."""

import copy
import json
import pickle

import pytest

from engine.contain.secrets import NamedSecret, Secrets
from engine.model import Applied, Failed
from engine.store import audit
from tests.support.acting import World, acting, holding, incident, intent, run

VALUE = "s3cr3t-v4lue"


@pytest.mark.parametrize("place", ["file", "credential", "environment"])
def test_a_secret_is_found_by_name(tmp_path, place):
    """In a file, in systemd's credentials directory, in the environment; a trailing newline is not part of it."""
    (tmp_path / "db-password").write_text(f"{VALUE}\n")
    secrets = {
        "file": Secrets(files={"db-password": tmp_path / "db-password"}),
        "credential": Secrets(credentials_dir=tmp_path),
        "environment": Secrets(environment={"HALON_SECRET_DB_PASSWORD": VALUE}),
    }[place]
    assert secrets.reveal("db-password") == VALUE


def test_a_rotated_secret_is_read_anew(tmp_path):
    """No restart is needed after the file changed."""
    path = tmp_path / "token"
    secrets = Secrets(files={"token": path})
    for value in ("first-value", "second-value"):
        path.write_text(value)
        assert secrets.reveal("token") == value


@pytest.mark.parametrize("name", ["nothing", "../token", "", "."])
def test_an_unknown_secret_says_where_it_was_looked_for(tmp_path, name):
    """The message helps to set it; a name cannot leave the credentials directory."""
    (tmp_path / "token").write_text(VALUE)
    (tmp_path / "inside").mkdir()
    with pytest.raises(KeyError, match="no secret"):
        Secrets(credentials_dir=tmp_path / "inside").reveal(name)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_holds_no_text_of_bounded_size_is_refused(tmp_path, content):
    """Neither its content nor a part of it stands in the message."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(KeyError, match="secret `token`"):
        Secrets(credentials_dir=tmp_path).reveal("token")


def test_a_secret_hides_itself():
    """In its repr, in formatting, in JSON and in pickles."""
    secret = NamedSecret("token", VALUE)
    assert VALUE not in f"{secret} {secret!r} {[secret]} {secret!s}"
    for write in (pickle.dumps, json.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)


def test_what_slipped_into_an_answer_is_scrubbed():
    """A secret that was given out is replaced by its name, wherever an action put it."""
    secrets = Secrets(environment={"HALON_SECRET_TOKEN": VALUE})
    assert secrets.scrub(Failed(f"401 for {VALUE}")) == Failed(f"401 for {VALUE}")  # nobody was given it yet
    secrets.reveal("token")
    assert secrets.scrub(Failed(f"401 for {VALUE}")) == Failed("401 for [secret token]")
    leaky = Applied({"url": [f"http://u:{VALUE}@h"]}, VALUE)
    assert secrets.scrub(leaky) == Applied({"url": ["http://u:[secret token]@h"]}, "[secret token]")
    clean = Applied({"n": 1})
    assert secrets.scrub(clean) is clean


@pytest.mark.parametrize("script", ["throw", "fail", "ok"])
def test_no_secret_reaches_the_store_or_an_escalation(tmp_path, script):
    """An action that puts a secret into its answer or its exception: store, audit and notices show its name only."""

    async def scenario():
        world = World()
        world.script.append(script)
        world.text = VALUE
        secrets = Secrets(environment={"HALON_SECRET_TOKEN": VALUE})
        secrets.reveal("token")
        async with acting(tmp_path, holding(world), secrets=secrets) as it:
            await it.decide(intent(incident()))
            await it.finish()
            shown = str(await it.store.read(audit.records)) + str(it.told)
            assert VALUE not in shown
            assert "[secret token]" in shown
            dump = await it.store.read(lambda connection: "".join(connection.iterdump()))
            assert VALUE not in dump

    run(scenario())
