"""The CEL specification's own cases, as far as they apply to JSON types, on the real C++ runtime and compiled."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomli

from engine.cel.compile import CompiledExpression
from engine.cel.contract import CelFault, Scope
from engine.cel.environment import CelEnvironment, ScopeKind, Want
from engine.model import Event
from tests.support.celtext import same

CASES = tomli.loads((Path(__file__).parent / "conformance.toml").read_text(encoding="utf-8"))["case"]
ENVIRONMENT = CelEnvironment({})
SCOPE = Scope(event=Event(id="e-1", source="test", type="test", time_us=0))


def compiled(expr: str) -> Any:
    return ENVIRONMENT.compile(expr, scope=ScopeKind.EVENT, want=Want.ANY)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_of_the_specification_ends_as_recorded(case: dict[str, Any]) -> None:
    """Each case gives the value or the error of the specification, on both ways, or is refused at load as recorded."""
    expression = compiled(case["expr"])
    if case["way"] == "refused":
        assert isinstance(expression, tuple)
        return
    assert isinstance(expression, CompiledExpression)
    for evaluate in (expression.evaluate, expression._runtime.evaluate):
        if "json" in case:
            assert same(evaluate(SCOPE), json.loads(case["json"]))
        else:
            with pytest.raises(CelFault):
                evaluate(SCOPE)


def test_the_share_of_the_specification_that_passes_is_known() -> None:
    """Of the recorded cases with a value all but those that the checker finds ill-typed give it."""
    with_value = [case for case in CASES if "json" in case]
    refused = [case["id"] for case in with_value if case["way"] == "refused"]
    assert (len(CASES), len(with_value), len(refused)) == (632, 574, 27)
