"""What the builders of signals, rules and playbooks share: names in reach, CEL, and where findings go.

CEL text stands inside TOML strings; what is wrong with it is reported at its column there.
"""

from collections.abc import Mapping
from typing import Any

from engine.action import Catalogue
from engine.cel.contract import CelFault, Expression, Scope
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.report import cel_diagnostics
from engine.cel.runtime import Want
from engine.cel.template import evaluate, is_template, parse_template
from engine.detectors.contract import DetectorTable
from engine.diagnostics import Diagnostic, error, quoted
from engine.model import IncidentType, Json
from engine.rulefile.findings import Findings
from engine.rulefile.namespace import Namespace
from engine.structread import type_word
from engine.tomlfile import KeyPath, TomlFile


class Context:
    """One load: the tables of all files, the actions, detectors and lists, and the findings."""

    def __init__(
        self,
        names: Namespace,
        findings: Findings,
        *,
        catalogue: Catalogue,
        detectors: DetectorTable,
        lists: Mapping[str, tuple[Json, ...]],
        values: Mapping[str, Json],
        incidents: Mapping[IncidentType, str],
        step_timeout_us: int,
        step_retries: int,
        partial: bool,
    ) -> None:
        self.names = names
        self.findings = findings
        self.catalogue = catalogue
        self.detectors = detectors
        self.lists = lists
        self.values = values
        self.incidents = incidents
        self.step_timeout_us = step_timeout_us
        self.step_retries = step_retries
        self._partial = partial
        self._cel = CelEnvironment(lists, values)

    def expression(
        self, file: TomlFile, path: KeyPath, source: object, scope: ScopeKind, want: Want
    ) -> Expression | None:
        """The CEL at `path`, checked; None where there is none, where it is no text, or where it is wrong."""
        if not isinstance(source, str):
            return None  # left out, or found with the shape of its table
        made = self._cel.compile(source, scope=scope, want=want)
        if isinstance(made, tuple):
            self.findings.extend(cel_diagnostics(made, file, path, _place_words(path)))
            return None
        return made

    def parameter(self, file: TomlFile, path: KeyPath, value: Any) -> Any:
        """A parameter of a step with its templates parsed, at any depth."""
        if isinstance(value, dict):
            return {key: self.parameter(file, (*path, key), each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.parameter(file, (*path, index), each) for index, each in enumerate(value)]
        if not isinstance(value, str) or not is_template(value):
            return value
        made = parse_template(value, lambda text: self._cel.compile(text, scope=ScopeKind.STEP, want=Want.ANY))
        if isinstance(made, tuple):
            self.findings.extend(cel_diagnostics(made, file, path, _place_words(path)))
            return value
        return made

    def settled(self, file: TomlFile, path: KeyPath, value: Any) -> Any:
        """A parameter of a detection method with the named lists and values that its `${…}` mean, at any depth."""
        if isinstance(value, dict):
            return {key: self.settled(file, (*path, key), each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.settled(file, (*path, index), each) for index, each in enumerate(value)]
        if not has_template(value):
            return value
        made = parse_template(value, lambda text: self._cel.compile(text, scope=ScopeKind.LOAD, want=Want.ANY))
        if isinstance(made, tuple):
            self.findings.extend(cel_diagnostics(made, file, path, _place_words(path)))
            return value
        try:
            return evaluate(made, Scope())
        except CelFault as fault:
            title = f"{_place_words(path)} has no value: {fault}"
            self.findings.add(error("H025", title, file.value(path), label="is settled when the rules are loaded"))
            return value

    def none_such(self, kind: str) -> str:
        """The label for a name that no file declares; where a file could not be read, it may stand there."""
        return f"no such {kind} in the files that could be read" if self._partial else f"no such {kind}"

    def no_step(self, file: TomlFile, path: KeyPath, what: str, wanted: str, value: object) -> Diagnostic:
        """The finding for what stands where a step, or a list of steps, is `wanted`."""
        word, help_ = type_word(value), 'each step is a table in a list, as in `[{ do = "process.freeze", … }]`'
        title = f"{what} must be {wanted}, not {word}"
        return error("H006", title, file.value(path), label=f"this is {word}", help=help_)


def has_template(value: object) -> bool:
    """Whether the value is known only when the step is decided: a text with `${…}`."""
    return isinstance(value, str) and is_template(value)


def _place_words(path: KeyPath) -> str:
    """The last keys of a path as people write them: ``by.run``, ``paths[0]``, each in backquotes."""
    inner = path[4:] if path[0] == "playbook" else path[2:]
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    return quoted(words.lstrip("."))
