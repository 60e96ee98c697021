"""The kept inputs of the fuzzer, through the loaders, the decoder and CEL."""

import pytest

from tests.fuzz.run import CORPUS
from tests.fuzz.targets import TARGETS

KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_kept_holds(target):
    """No kept input of the target raises or breaks what must hold of the answer."""
    inputs = [path for path in KEPT if path.parent.name == target]
    assert len(inputs) >= 4, "run `make fuzz`"
    for path in inputs:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as fault:
            raise AssertionError(f"{path.relative_to(CORPUS)}: {fault!r}") from fault


def test_every_folder_of_the_corpus_has_its_target():
    """Nothing lies in the corpus that no test reads."""
    assert {path.parent.name for path in KEPT} == set(TARGETS)
