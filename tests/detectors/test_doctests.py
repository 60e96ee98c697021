"""The examples in the detectors' docstrings are run: each shows its detector detecting."""

import doctest
import importlib
from pathlib import Path

import pytest

import engine.detectors

MODULES = sorted(path.stem for path in Path(engine.detectors.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_detector_hold(name):
    """Every example in a module of the detectors gives the output that stands below it."""
    module = importlib.import_module(f"engine.detectors.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    if any(isinstance(vars(each).get("method"), str) for each in classes):
        assert result.attempted >= 2, "give the class an example that detects"
