"""The survey as a whole: files, state, doors, the targets of actions. `halon check --live` prints what it finds."""

from pathlib import Path

from engine.action import Catalogue
from engine.clock import SECOND_US, Clock
from engine.config import Config
from engine.diagnostics import Diagnostic
from engine.rulefile.rules import RuleSet
from engine.shipped import Places, anchor
from engine.survey import files, reach
from engine.tomlfile import TomlFile, read_toml


async def survey(
    config: Config,
    config_path: Path,
    places: Places,
    rules: RuleSet | None,
    catalogue: Catalogue,
    clock: Clock,
    *,
    shown: str,
) -> list[Diagnostic]:
    """Everything that is wrong with the machine for this config; `shown` is its path as people know it."""
    read = read_toml(config_path, shown)
    file = read if isinstance(read, TomlFile) else None
    config = anchor(config, config_path.parent)
    running = reach.answers(places.control_socket)
    found = [
        *files.secrets(config, file),
        *files.certificates(config, file, clock.now_us() / SECOND_US),
        *files.trusted(config_path, places),
        *files.state(places, file),
        *reach.listeners(config, file, running=running),
    ]
    found += await reach.brokers(config, file, running=running)
    found += await reach.actions(config, _used(rules), catalogue, file, state_dir=places.state_dir, clock=clock)
    return found


def _used(rules: RuleSet | None) -> set[str]:
    """The actions that playbooks do."""
    return {
        step.action
        for playbook in (rules.playbooks.values() if rules is not None else ())
        for step in (*playbook.contain, *playbook.investigate, *playbook.recover)
    }
