"""actions/table.py: the table, and plug-ins merged into it."""

import sys
from importlib.metadata import EntryPoint

import pytest

from actions import table
from actions.training.process_freeze import ProcessFreeze


class Isolate(ProcessFreeze):
    """A plug-in."""

    name = "acme.isolate"


class Unfinished(table.Action):
    """A plug-in that lacks its methods."""

    name = "acme.unfinished"
    params = ProcessFreeze.params
    target_kind = "training"
    reversible = False
    privileges = "none"
    example = "{}"


def plug_in(monkeypatch, name, attribute, module=__name__):
    entry = EntryPoint(name=name, value=f"{module}:{attribute}", group=table.GROUP)
    monkeypatch.setattr(table, "entry_points", lambda group: [entry] if group == table.GROUP else [])
    return table.load_catalogue()


def test_the_table_is_keyed_by_the_names_of_its_classes():
    """Each entry is found under its own name, and no two share one."""
    assert all(cls.name == name for name, cls in table.CATALOGUE.actions.items())
    assert len(table.CATALOGUE.actions) == len(table._ACTIONS)


def test_a_plug_in_is_merged(monkeypatch):
    """A sound class of the entry-point group stands in the catalogue beside the shipped ones."""
    monkeypatch.setitem(sys.modules, "acme", sys.modules[__name__])
    loaded = plug_in(monkeypatch, "acme.isolate", "Isolate", "acme")
    assert loaded.catalogue.get("acme.isolate") is Isolate
    assert loaded.catalogue.get("process.freeze") is ProcessFreeze
    assert loaded.problems == ()


@pytest.mark.parametrize(
    ("name", "attribute", "module", "says"),
    [
        ("process.freeze", "Isolate", "acme", "has the name of another action"),
        ("acme.other", "Isolate", "acme", "calls itself `acme.isolate`"),
        ("acme.unfinished", "Unfinished", "acme", "does not implement apply, check, verify"),
        ("acme.none", "plug_in", "acme", "is not a subclass"),
        ("acme.gone", "X", "no_such_module_of_acme", "can't be imported (ModuleNotFoundError"),
    ],
)
def test_a_broken_plug_in_is_left_out_and_named(monkeypatch, name, attribute, module, says):
    """The problem says which plug-in and why; the shipped actions stay as they are."""
    monkeypatch.setitem(sys.modules, "acme", sys.modules[__name__])
    loaded = plug_in(monkeypatch, name, attribute, module)
    assert loaded.catalogue.actions == dict(table.CATALOGUE.actions)
    assert len(loaded.problems) == 1
    assert says in loaded.problems[0]
    assert name in loaded.problems[0]
