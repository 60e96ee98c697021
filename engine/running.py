"""What runs now, as far as the config says it: read by `engine.steering` and the views, changed by `engine.reload`."""

import msgspec

from engine.config import Config
from engine.model import Mode, Struct

RESTART_KEYS = ("daemon.state_dir", "daemon.control_socket", "store.path", "audit.key_file", "broker")
"""What a reload can't change: places of state, the audit key, the embedded broker with what it holds in memory."""


class Overrides(Struct, frozen=True):
    """What the command line of `halon run` puts in the config's place, over every reload."""

    observe: bool = False
    log_level: str = ""
    log_levels: tuple[tuple[str, str], ...] = ()

    def on(self, config: Config) -> Config:
        """The config with them."""
        replace = msgspec.structs.replace
        daemon, guards = config.daemon, config.guards
        daemon = replace(
            daemon,
            log_level=self.log_level or daemon.log_level,
            log_levels={**daemon.log_levels, **dict(self.log_levels)},
        )
        if self.observe:
            guards = replace(guards, mode=Mode.OBSERVE)
        return replace(config, daemon=daemon, guards=guards)


class Running(msgspec.Struct):
    """The config in force, and the keys that wait for a restart."""

    config: Config
    restart_needed: tuple[str, ...] = ()

    @property
    def mode(self) -> Mode:
        """Whether steps are executed."""
        return self.config.guards.mode

    def take(self, config: Config) -> tuple[str, ...]:
        """Put another config in force, but for what takes a restart; the keys that changed, those included."""
        changed = changed_keys(self.config, config)
        waiting = tuple(key for key in changed if _takes_restart(key))
        replace, old = msgspec.structs.replace, self.config
        self.config = replace(
            config,
            daemon=replace(config.daemon, state_dir=old.daemon.state_dir, control_socket=old.daemon.control_socket),
            store=replace(config.store, path=old.store.path),
            audit=replace(config.audit, key_file=old.audit.key_file),
            broker=old.broker,
        )
        self.restart_needed = waiting
        return changed


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """`table.key` of what differs; the name of the table alone where it is a list or holds free names."""
    found: list[str] = []
    for table in Config.__struct_fields__:
        before, after = getattr(old, table), getattr(new, table)
        if before == after:
            continue
        if isinstance(before, Struct):
            found += [
                f"{table}.{key}" for key in before.__struct_fields__ if getattr(before, key) != getattr(after, key)
            ]
        else:
            found.append(table)
    return tuple(found)


def _takes_restart(key: str) -> bool:
    return key in RESTART_KEYS or key.partition(".")[0] in RESTART_KEYS
