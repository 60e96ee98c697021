"""Keys of config.toml to places in it; a key that is left out stands where its table does. All of the survey asks."""

from typing import Any

from engine.diagnostics import Diagnostic, Level, Span, error
from engine.tomlfile import KeyPath, TomlFile


def place(file: TomlFile | None, path: KeyPath) -> Span | None:
    """Where the value of a key stands, or the nearest table around it that is written; None where none is."""
    if file is None:
        return None
    while path:
        if (value := _written(file.table, path)) is not None:
            return file.key(path) if isinstance(value, dict) else file.value(path)
        path = path[:-1]
    return None


def _written(table: object, path: KeyPath) -> object:
    """The value at a path, or None."""
    value: Any = table
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def warning(code: str, title: str, span: Span | None = None, *, label: str = "", help: str = "") -> Diagnostic:  # noqa: A002
    """A warning of that code."""
    found = error(code, title, span, label=label, help=help)
    return Diagnostic(
        code=found.code, level=Level.WARNING, title=title, span=span, label=label, help=help, notes=found.notes
    )
