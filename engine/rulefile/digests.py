"""Tables to digests by which state survives a reload: equal digests mean that the state still means the same.

Only what state depends on goes in: a new title, severity or playbook does not forget what was seen so far.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.model import Json

_NAMED = re.compile(r"\b(list|value)\s*\.\s*(\w+)")
_SIGNAL_KEYS = ("on", "where", "by", "value", "detect", "watched", "for", "cooldown")
_RULE_KEYS = ("incident", "by", "when")


def signal_digest(
    table: Mapping[str, Any],
    lists: Mapping[str, tuple[Json, ...]],
    values: Mapping[str, Json] | None = None,
    sample: str | None = None,
) -> str:
    """The digest of a signal: its table but for texts for people, the lists and values that it names, its `sample`."""
    meant = {key: table[key] for key in _SIGNAL_KEYS if key in table}
    found = {pair for text in _strings(meant) for pair in _NAMED.findall(text)}
    named = {name: lists[name] for kind, name in found if kind == "list" and name in lists}
    held = {name: each for name, each in (values or {}).items() if ("value", name) in found}
    return digest([meant, named, *([held] if held else ()), *([sample] if sample else ())])


def rule_digest(table: Mapping[str, Any], signals: Iterable[str]) -> str:
    """The digest of a rule: its join, and the digests of its signals."""
    return digest([{key: table[key] for key in _RULE_KEYS if key in table}, sorted(signals)])


def digest(value: object) -> str:
    """SHA-256 of a value of TOML, the same for any order of keys; dates count as their text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _strings(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
