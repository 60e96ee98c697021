"""All tables of all files are one namespace."""

import pytest

from tests.support.rulesets import check, codes


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("signal", 'on = "t"'),
        ("rule", 'incident = "availability"\nseverity = "low"\nwhen = { any = ["s"] }'),
        ("playbook", 'contain = [{ do = "slurm.suspend", job = "1" }]'),
        ("list", "values = [1]"),
        ("incident", 'description = "d"'),
    ],
)
def test_an_id_stands_once_per_kind(kind, body):
    """The second table of an id is an error that shows the first; the same id of another kind is fine."""
    table = f"[{kind}.twice]\n{body}\n"
    other = '[signal.s]\non = "t"\n[playbook.other]\ncontain = [{ do = "slurm.suspend", job = "1" }]\n'
    _, found = check(table, other, table)
    (twice,) = [each for each in found if each.code == "H009"]
    assert (twice.span.path, twice.notes[0].span.path) == ("2.toml", "0.toml")
    assert "H009" not in codes(table, other.replace("other", "twice") if kind == "list" else other)


@pytest.mark.parametrize(
    ("kind", "id_", "sound"),
    [
        ("signal", "loss-spike", True),
        ("signal", "2nd-spike", True),
        ("signal", "loss_spike", False),
        ("signal", "Loss", False),
        ("signal", "-a", False),
        ("signal", "a--b", False),
        ("signal", "é", False),
        ("signal", "a" * 101, False),
        ("list", "bad_hosts", True),
        ("list", "bad-hosts", False),
        ("list", "2_hosts", False),
        ("incident", "gpu-theft", True),
        ("incident", "gpu_theft", False),
    ],
)
def test_ids_have_one_form_per_kind(kind, id_, sound):
    """Kebab-case for all but lists, which CEL reads as names."""
    body = {"signal": 'on = "t"', "list": "values = []", "incident": ""}[kind]
    assert ("H010" not in codes(f'[{kind}."{id_}"]\n{body}\n')) is sound


def test_the_built_in_incident_types_cannot_be_declared():
    """A type of the taxonomy keeps its meaning."""
    assert codes("[incident.fairness]\n") == ["H009"]
