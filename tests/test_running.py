"""engine.running: what a new config changes in a daemon that runs, and what waits for a restart."""

from msgspec.structs import replace

from engine.config import (
    AuditConfig,
    BrokerConfig,
    Config,
    DaemonConfig,
    GuardsConfig,
    HttpConfig,
    MqttConfig,
    StoreConfig,
)
from engine.model import Mode
from engine.running import Overrides, Running, changed_keys


def test_each_key_that_differs_is_named():
    """By table and key; a list by the table's name alone."""
    new = Config(
        guards=GuardsConfig(mode=Mode.OBSERVE, protected="true"),
        mqtt=(MqttConfig(name="far"),),
        http=HttpConfig(enabled=True),
        actions={"exec.run": {}},
    )
    assert changed_keys(Config(), new) == ("mqtt", "http.enabled", "guards.mode", "guards.protected", "actions")
    assert changed_keys(new, new) == ()


def test_what_takes_a_restart_stays_as_it_runs_and_is_named():
    """The rest is taken; a later config that takes it back leaves nothing to wait for."""
    running = Running(Config())
    new = Config(
        daemon=DaemonConfig(state_dir="/elsewhere", log_level="debug"),
        store=StoreConfig(path="/elsewhere/halon.db"),
        audit=AuditConfig(key_file="/elsewhere/key"),
        broker=BrokerConfig(enabled=True),
    )
    changed = running.take(new)
    assert changed == ("daemon.state_dir", "daemon.log_level", "broker.enabled", "store.path", "audit.key_file")
    assert running.restart_needed == ("daemon.state_dir", "broker.enabled", "store.path", "audit.key_file")
    assert running.config == Config(daemon=DaemonConfig(log_level="debug"))
    assert running.take(new) == running.restart_needed, "it still waits"
    running.take(Config())
    assert (running.config, running.restart_needed) == (Config(), ())


def test_what_the_command_line_said_stands_over_every_config():
    """`--observe` and `--log-level` are laid over what the file has."""
    overrides = Overrides(observe=True, log_level="warning", log_levels=(("engine.intake", "debug"),))
    config = overrides.on(Config(daemon=DaemonConfig(log_levels={"mqtt": "info"})))
    assert Running(config).mode is Mode.OBSERVE
    assert config.daemon.log_level == "warning"
    assert config.daemon.log_levels == {"mqtt": "info", "engine.intake": "debug"}
    assert Overrides().on(Config()) == Config()
    assert replace(config, daemon=DaemonConfig(), guards=GuardsConfig()) == Config()
