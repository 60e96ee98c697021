"""The shipped rules for tests: as they are, and with rules/site.toml filled in as a site would."""

import re
import shutil
from functools import lru_cache
from pathlib import Path

from actions.table import load_catalogue
from engine.detectors.table import DETECTORS
from engine.diagnostics import render
from engine.rulefile.load import load_rules
from engine.rulefile.rules import RuleSet

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
SITE = {
    "response_team": '"on-call"',
    "data_writers": '["etl"]',
    "trusted_signers": '["release@example.org"]',
    "trusted_origins": '["registry.internal"]',
    "release_principals": '["release-bot"]',
    "model_namespaces": '["inference", "training"]',
    "model_deployers": '["system:serviceaccount:argocd:deploy"]',
    "model_operators": '["on-call", "system:serviceaccount:external-secrets:sync"]',
    "data_stores": '["training-data/"]',
    "canaries": '["violet-anchor-7719"]',
    "training_canaries": '["copper lantern 4471"]',
}
"""What a site fills in, by the id of the list or value in rules/site.toml, as TOML."""


@lru_cache(maxsize=1)
def shipped_rules() -> RuleSet:
    """All shipped rules; fails where anything at all is wrong with them."""
    rules, found = load_rules([RULES], catalogue=load_catalogue().catalogue, detectors=DETECTORS)
    assert not found, render(found)
    assert rules is not None
    return rules


def filled_site(folder: Path) -> RuleSet:
    """The shipped rules with the lists and values of `SITE`, written below `folder`."""
    shutil.copytree(RULES, folder / "rules")
    site = folder / "rules" / "site.toml"
    text = site.read_text(encoding="utf-8")
    for name, value in SITE.items():
        pattern = rf'(\[(?:list|value)\.{name}\]\n(?:description = .*\n)?values? = )(?:\[\]|"")\n'
        text, count = re.subn(pattern, rf"\g<1>{value}\n", text)
        assert count == 1, f"`{name}` is not in rules/site.toml, or not empty"
    site.write_text(text, encoding="utf-8")
    rules, found = load_rules([folder / "rules"], catalogue=load_catalogue().catalogue, detectors=DETECTORS)
    assert not found, render(found)
    assert rules is not None
    return rules
