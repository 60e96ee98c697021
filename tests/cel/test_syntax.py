"""The serialised syntax tree of the real C++ library, decoded."""

from typing import Any

import pytest

from engine.cel.declare import ScopeKind, environments
from engine.cel.syntax import Call, Fold, FoldKind, Literal, Name, Node, Opaque, Select, children, decode, path_of, walk

CHECKER = environments(ScopeKind.EVENT, {"words": ("a",)}).checker


def tree(source: str) -> Node:
    return decode(CHECKER.compile(source).serialize())


def test_a_condition_decodes_with_its_places() -> None:
    """Names, selections, operators and constants, each at its character."""
    assert tree("event.id == 'é😀' && true") == Call(
        17,
        "_&&_",
        (
            Call(9, "_==_", (Select(5, Name(0, "event"), "id"), Literal(12, "é😀"))),
            Literal(20, True),
        ),
    )


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1),
        ("-5", -5),
        ("1.5", 1.5),
        ("'a\\n'", "a\n"),
        ("true", True),
        ("null", None),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_constants_decode_as_their_type(source: str, value: object) -> None:
    """Each constant is the Python value of its type."""
    node: Any = tree(source)
    assert node.value == value
    assert type(node.value) is type(value)


@pytest.mark.parametrize(
    ("source", "kind", "has_test", "has_item"),
    [
        ("[1].all(x, x > 0)", FoldKind.ALL, True, False),
        ("[1].exists(x, x > 0)", FoldKind.EXISTS, True, False),
        ("[1].exists_one(x, x > 0)", FoldKind.EXISTS_ONE, True, False),
        ("[1].map(x, x + 1)", FoldKind.MAP, False, True),
        ("[1].map(x, x > 0, x + 1)", FoldKind.MAP, True, True),
        ("[1].filter(x, x > 0)", FoldKind.MAP, True, True),
    ],
)
def test_macros_are_known_again(source: str, kind: FoldKind, has_test: bool, has_item: bool) -> None:
    """Each macro is found in the loop that the library expands it to."""
    node = tree(source)
    assert isinstance(node, Fold)
    assert (node.kind, node.variable, node.test is not None, node.item is not None) == (kind, "x", has_test, has_item)


@pytest.mark.parametrize("source", ["1u", "b'a'", "google.protobuf.Duration{seconds: 1}"])
def test_what_is_not_json_is_opaque(source: str) -> None:
    """Unsigned numbers, bytes and messages are left to the runtime."""
    assert isinstance(tree(source), Opaque)


def test_paths_are_read_off_names_and_constant_keys() -> None:
    """`event.data['m'].x` is a path; a computed key makes it none."""
    assert path_of(tree("event.data['m'].x")) == ("event", "data", "m", "x")
    assert path_of(tree("list.words")) == ("list.words",)
    assert path_of(tree("event.data[event.id]")) is None
    assert path_of(tree("has(event.data.x)")) is None


def test_walking_sees_every_node_once() -> None:
    """All constants of a nested text are met."""
    node = tree("[1, 2].exists(x, {'a': x}.a == 3) ? size([4]) : -event.data.x + 5")
    found = sorted(each.value for each in walk(node) if isinstance(each, Literal) and type(each.value) is int)
    assert found == [1, 2, 3, 4, 5]
    assert children(Literal(0, 1)) == ()
