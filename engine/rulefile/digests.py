"""Tables to digests by which state survives a reload: equal digests mean that the state still means the same.

Only what state depends on goes in: a new title, severity or playbook does not forget what was seen so far.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.model import Json

_LIST = re.compile(r"\blist\s*\.\s*(\w+)")
_SIGNAL_KEYS = ("on", "where", "by", "value", "detect", "for", "cooldown")
_RULE_KEYS = ("incident", "by", "when")


def signal_digest(table: Mapping[str, Any], lists: Mapping[str, tuple[Json, ...]]) -> str:
    """The digest of a signal: its table but for texts for people, and the lists that it names."""
    meant = {key: table[key] for key in _SIGNAL_KEYS if key in table}
    named = sorted({name for text in _strings(meant) for name in _LIST.findall(text) if name in lists})
    return digest([meant, {name: lists[name] for name in named}])


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
