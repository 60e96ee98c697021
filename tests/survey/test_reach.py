"""engine.survey.reach: real brokers, sockets and actions; nothing is left behind at any of them."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from actions.table import CATALOGUE
from engine.clock import VirtualClock
from engine.config import Config, HttpConfig, MqttConfig, TopicConfig
from engine.diagnostics import Level
from engine.survey import reach
from tests.support.mosquitto import Mosquitto, need_library
from tests.support.realparts import free_port


def brokers(*configs):
    return asyncio.run(reach.brokers(Config(mqtt=configs), None))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_answers_is_silent_and_one_that_does_not_is_told(tmp_path, protocol):
    """All are tried, each is named, and no session of the check stays."""
    with Mosquitto(tmp_path) as broker:
        good = MqttConfig(name="good", port=broker.port, protocol=protocol)
        [found] = brokers(good, MqttConfig(name="bad", port=free_port(), protocol=protocol))
        assert (found.code, found.title.startswith("broker `bad`: can't be connected to")) == ("H072", True)
        log = (tmp_path / "mosquitto.log").read_text() if (tmp_path / "mosquitto.log").exists() else ""
        assert "halon-check" in log or not log


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_topic_that_the_broker_refuses_is_told(tmp_path, protocol):
    """By real access rules; what is granted is silent."""
    rules = tmp_path / "rules.json"
    allowed = {"acltype": "subscribePattern", "topic": "ok/#", "priority": 0, "allow": True}
    roles = [{"rolename": "reader", "acls": [allowed]}]
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    group = {"groupname": "all", "roles": [{"rolename": "reader"}], "clients": []}
    whole = {"defaultACLAccess": access, "roles": roles, "groups": [group], "anonymousGroup": "all", "clients": []}
    rules.write_text(json.dumps(whole))
    plugin = [f"plugin {need_library('mosquitto_dynamic_security.so')}", f"plugin_opt_config_file {rules}"]
    with Mosquitto(tmp_path, settings=plugin) as broker:
        topics = (TopicConfig(filter="ok/#"), TopicConfig(filter="secret/#"))
        [found] = brokers(MqttConfig(name="local", port=broker.port, protocol=protocol, topics=topics))
        assert found.title == "broker `local`: it refuses the topic `secret/#`"


def test_a_broker_with_a_bad_password_file_is_left_to_the_survey_of_files():
    """One finding for one mistake."""
    assert brokers(MqttConfig(port=free_port(), password_file="/none")) == []


def test_an_address_that_is_taken_is_told_unless_the_daemon_has_it():
    """The running daemon listens there itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = Config(http=HttpConfig(enabled=True, port=taken.getsockname()[1]))
        [found] = reach.listeners(config, None, running=False)
        assert (found.code, "can't be listened on" in found.title) == ("H072", True)
        assert list(reach.listeners(config, None, running=True)) == []
    assert list(reach.listeners(config, None, running=False)) == []
    assert list(reach.listeners(Config(), None, running=False)) == []


def test_a_daemon_is_known_by_its_socket(tmp_path):
    """A socket file that nobody serves is no daemon."""
    path = tmp_path / "s"
    assert not reach.answers(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not reach.answers(path)
        server.listen()
        assert reach.answers(path)


def actions(used, **tables):
    settings = {name.replace("_", ".", 1).replace("_", "-"): table for name, table in tables.items()}
    config = Config(actions=settings)
    return asyncio.run(reach.actions(config, used, CATALOGUE, None, state_dir=Path("/tmp"), clock=VirtualClock()))


def test_what_an_action_needs_and_does_not_find_is_told_by_its_name(tmp_path, monkeypatch):
    """A secret, a file, a folder, a program, an address, and what only the action itself can tell."""
    monkeypatch.setenv("HALON_SECRET_THERE", "x")
    tables = {
        "redis_disable_user": {"port": free_port(), "password_secret": "gone"},
        "file_rotate_token": {"folders": [str(tmp_path), "/none"]},
        "exec_run": {"commands": {"page": {"argv": ["/none/page"]}}},
        "kubernetes_cordon": {"server": f"http://127.0.0.1:{free_port()}", "ca_file": "/none.pem"},
        "haproxy_drain": {"socket": str(tmp_path / "none.sock")},
    }
    found = {each.title.partition(":")[0].strip("`"): [] for each in actions([], **tables)}
    for each in actions([], **tables):
        found[each.title.partition(":")[0].strip("`")].append(each.title)
    assert found.keys() == {"redis.disable-user", "file.rotate-token", "exec.run", "kubernetes.cordon", "haproxy.drain"}
    assert any("no secret `gone`" in each for each in found["redis.disable-user"])
    assert any("takes no connection" in each for each in found["redis.disable-user"])
    assert ["/none" in each for each in found["file.rotate-token"]] == [True]
    assert "no program" in found["exec.run"][0]
    assert "/none.pem can't be read" in found["kubernetes.cordon"][0]
    assert "can't reach HAProxy's admin socket" in found["haproxy.drain"][0]


def test_only_what_rules_use_or_the_config_names_is_asked():
    """The default settings of the others may lead nowhere on this machine."""
    assert actions([]) == []
    [found] = actions(["haproxy.drain"], haproxy_drain={"socket": "/none"})
    assert ("haproxy.drain" in found.title, found.level) == (True, Level.ERROR)
    levels = {each.level for each in actions(["vault.revoke-lease"])}
    assert levels == {Level.WARNING}, "the config does not set it up"
    assert actions(["no.such-action"]) == []
