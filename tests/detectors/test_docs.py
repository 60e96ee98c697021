"""docs/detectors.md is what the classes say."""

import re

import msgspec

from engine.detectors.table import DETECTORS
from scripts import gen_docs


def test_the_page_is_current():
    """The file equals what is generated now; `make docs` writes it."""
    page = gen_docs.DETECTORS_PAGE.read_text(encoding="utf-8")
    assert page == gen_docs.render_detectors(), "run `make docs` and commit docs/detectors.md"


def test_every_method_stands_in_it_with_its_parameters():
    """No method, and none of its parameters, goes unmentioned."""
    page = gen_docs.render_detectors()
    for name, detector in DETECTORS.methods.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for field in msgspec.structs.fields(detector.params_type):
            assert f"| `{field.encode_name}` |" in section
        assert ">>> " in section


def test_methods_that_are_named_exist():
    """Every method that the table of choices and the docstrings send the reader to is in the table of methods."""
    head = gen_docs.DETECTORS_HEAD.partition("|---|")[2]
    named = set(re.findall(r"`([a-z-]+)`", head))
    siblings = re.compile(r"Use ((?:.|\n)+?)\nSource:")
    for detector in DETECTORS.methods.values():
        found = siblings.search(re.sub(r"\n +", "\n", detector.__doc__ or ""))
        named |= set(re.findall(r"`([a-z-]+)`", found[1])) if found else set()
    kinds = [each.params_type for each in DETECTORS.methods.values()]
    own = {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}
    assert named - own - {"where", "of", "value"} <= DETECTORS.methods.keys()
