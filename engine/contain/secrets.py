"""Names to secrets: from files, the service manager's credentials directory, or environment variables of one prefix.

`engine.contain.calls` hands actions a lookup by name; rule files never hold a secret. A `Secret` hides itself when
printed, and whatever an action was given is scrubbed from all that it returns, before any of it is logged or stored.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.model import Secret

T = TypeVar("T")

SECRET_BYTES_MAX = 65_536
SCRUBBED_CHARS_MIN = 6
"""Shorter secrets are not scrubbed from texts: they would blot out ordinary words."""


class NamedSecret(Secret):
    """A secret that knows the name by which it was looked up."""

    __slots__ = ("name",)

    def __init__(self, name: str, value: str) -> None:
        super().__init__(value)
        self.name = name

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedSecret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError(f"the secret {self.name} is not to be written down")


class Secrets:
    """Looks secrets up by name, in this order: `files`, the credentials directory, the environment.

    `files` maps names to paths. The credentials directory is the one systemd gives with `LoadCredential=`
    (`$CREDENTIALS_DIRECTORY`). The variable of `db-password` is PREFIX + `DB_PASSWORD`. A secret is read anew on each
    lookup, so that a rotated one is taken up without a restart.
    """

    def __init__(
        self,
        *,
        files: Mapping[str, Path] | None = None,
        credentials_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
        prefix: str = "HALON_SECRET_",
    ) -> None:
        self._files = dict(files or {})
        self._credentials_dir = credentials_dir
        self._environment = environment if environment is not None else {}
        self._prefix = prefix
        self._revealed: dict[str, str] = {}

    @classmethod
    def of_process(cls, *, files: Mapping[str, Path] | None = None) -> "Secrets":
        """The secrets that this process was started with."""
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        return cls(files=files, credentials_dir=Path(directory) if directory else None, environment=os.environ)

    def get(self, name: str) -> NamedSecret:
        """The secret of that name. Raises KeyError, which names the places looked at and none of their contents."""
        if name in self._files:
            return self._keep(name, _read(self._files[name], name))
        if self._credentials_dir is not None and "/" not in name and name not in {"", ".", ".."}:
            path = self._credentials_dir / name
            if path.is_file():
                return self._keep(name, _read(path, name))
        variable = self._prefix + name.upper().replace("-", "_").replace(".", "_")
        if variable in self._environment:
            return self._keep(name, self._environment[variable])
        raise KeyError(f"no secret `{name}`: set {variable}, or LoadCredential={name}:PATH in the unit")

    def reveal(self, name: str) -> str:
        """What an action's context offers as `secret`."""
        return self.get(name).reveal()

    def scrub(self, value: T) -> T:
        """The struct with every secret that was given out replaced by its name, should one have slipped into it."""
        if not self._revealed:
            return value
        plain = msgspec.to_builtins(value)
        clean = _map_texts(plain, self.scrub_text)
        return value if clean == plain else msgspec.convert(clean, type(value))

    def scrub_text(self, text: str) -> str:
        """The text with every secret that was given out replaced by its name."""
        for value, name in self._revealed.items():
            if value in text:
                text = text.replace(value, f"[secret {name}]")
        return text

    def _keep(self, name: str, value: str) -> NamedSecret:
        if len(value) >= SCRUBBED_CHARS_MIN:
            self._revealed[value] = name
            while len(self._revealed) > 1_000:
                del self._revealed[next(iter(self._revealed))]
        return NamedSecret(name, value)


def _read(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise KeyError(f"the file of secret `{name}` cannot be read: {error.strerror}: {path}") from None
    if len(data) > SECRET_BYTES_MAX:
        raise KeyError(f"the file of secret `{name}` is longer than {SECRET_BYTES_MAX} bytes: {path}")
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise KeyError(f"the file of secret `{name}` is not UTF-8: {path}") from None


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Plain JSON with `change` applied to every text in it, names included."""
    match value:
        case str():
            return change(value)
        case list():
            return [_map_texts(each, change) for each in value]
        case dict():
            return {_map_texts(name, change): _map_texts(each, change) for name, each in value.items()}
        case _:
            return value
