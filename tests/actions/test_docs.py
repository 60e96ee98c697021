"""docs/actions.md is what the classes say."""

from actions.table import CATALOGUE
from scripts import gen_docs


def test_the_page_is_current():
    """The file equals what is generated now; `make docs` writes it."""
    assert gen_docs.PAGE.read_text(encoding="utf-8") == gen_docs.render(), "run `make docs` and commit docs/actions.md"


def test_every_action_and_parameter_stands_in_it():
    """No action, and none of its parameters, goes unmentioned, and each is described."""
    page = gen_docs.render()
    for name, action in CATALOGUE.actions.items():
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert action.example in section
        for field in action.params.__struct_fields__:
            row = next(line for line in section.splitlines() if line.startswith(f"| `{field}` |"))
            assert not row.endswith("|  |"), f"describe {name}'s {field}: {row}"
