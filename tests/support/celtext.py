"""CEL in tests: generated conditions and events, evaluation as data, and CEL's idea of the same value.

The generator is a plain seeded one, which is a hundred times faster than strategies of strategies; a failing test
prints the text and the event. It knows which field holds what, and strays from that now and then.
"""

import math
from random import Random
from typing import Any

from engine.cel.contract import CelFault, Expression, Scope
from engine.model import Event

TEXTS = ("", "a", "b", "run-7", "é", "😀x", "\uffff", "5", "true")
INTS = (0, 1, -1, 2, 5, 7, 100, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63))
BEYOND = (2**63, 2**64, -(2**63) - 1, 2**70, 10**400, -(10**400))
DOUBLES = (0.0, -0.0, 1.0, 0.5, -2.5, 5.0, 1e300, -1e300, float(2**53), float(2**63), 9007199254740994.0)
LISTS: dict[str, tuple[Any, ...]] = {
    "words": ("a", "run-7", "é"),
    "odd": (1, 2.0, True, None, "b", 2**53 + 1, 2**70, ["x"], 0),
    "counts": (1, 2, 5, 100),
}
"""Named lists that the generated text uses."""

_PATHS = {
    "number": (
        "event.data.i",
        "event.data.f",
        "event.data.big",
        "event.data.m.i",
        "event.data['i']",
        "event.data.l[0]",
    ),
    "text": ("event.data.s", "event.subject", "event.type", "event.ext.region", "event.data.m['s']", "event.data.m.s"),
    "bool": ("event.data.t", "event.data.m.t"),
    "list": ("event.data.l", "event.data.m.l"),
    "map": ("event.data.m", "event.data", "event.ext"),
    "null": ("event.data.n",),
}
_LITERAL_TEXTS = ("'a'", "'b'", "'run-7'", "'é'", "'😀x'", "''", "'5'", "r'\\d'")
_STRAY = 0.08


def same(left: Any, right: Any) -> bool:
    """One value of one type, through lists and maps; NaN is itself, and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    match left:
        case list():
            return len(left) == len(right) and all(map(same, left, right))
        case dict():
            return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
        case float():
            return (math.isnan(left) and math.isnan(right)) or (
                left == right and math.copysign(1, left) == math.copysign(1, right)
            )
        case _:
            return bool(left == right)


def outcome(expression: Expression, scope: Scope) -> Any:
    """Its value, or the class CelFault."""
    try:
        return expression.evaluate(scope)
    except CelFault:
        return CelFault


class Generator:
    """Makes conditions, expressions and events from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._variables: list[str] = []

    def scalar(self) -> Any:
        """A JSON value without parts, the odd ones often."""
        pick = self._random
        kinds = ((None, True, False), INTS, BEYOND, DOUBLES, TEXTS, range(-10, 10))
        return pick.choice(pick.choice(kinds))

    def json(self, depth: int = 2) -> Any:
        """Nested JSON."""
        pick = self._random
        if depth == 0 or pick.random() < 0.6:
            return self.scalar()
        if pick.random() < 0.5:
            return [self.json(depth - 1) for _ in range(pick.randrange(4))]
        return {name: self.json(depth - 1) for name in pick.sample(("a", "i", "s", "l"), pick.randrange(4))}

    def event(self) -> Event:
        """An event whose fields mostly hold what the paths of the generated text suppose."""
        pick = self._random
        made: dict[str, Any] = {
            "i": pick.choice(INTS),
            "f": pick.choice(DOUBLES),
            "s": pick.choice(TEXTS),
            "t": pick.random() < 0.5,
            "n": None,
            "l": [self.json(1) for _ in range(pick.randrange(4))],
            "big": pick.choice(BEYOND),
        }
        if pick.random() < 0.5:
            made["l"] = [pick.choice((0, 1, 2, 5, 2.0)) for _ in range(pick.randrange(5))]
        data = made | {"m": dict(made)}
        for fields in (data, data["m"]):
            for name in list(fields):
                if pick.random() < _STRAY:
                    del fields[name]
                elif pick.random() < _STRAY:
                    fields[name] = self.json()
        return Event(
            id="e-1",
            source="test",
            type=pick.choice(("a", "b")),
            time_us=0,
            subject=pick.choice((None, *TEXTS)),
            data=data if pick.random() > _STRAY else self.json(),
            ext={"region": pick.choice(TEXTS)},
        )

    def path(self, kind: str) -> str:
        """A field that should hold this kind."""
        pick = self._random
        if self._variables and pick.random() < 0.5:
            return pick.choice(self._variables)
        if pick.random() < _STRAY:
            kind = pick.choice(list(_PATHS))
        return pick.choice(_PATHS[kind])

    def condition(self, depth: int = 3) -> str:
        """CEL text that is a bool."""
        pick = self._random
        if depth <= 0:
            return pick.choice((self._comparison, self._membership, self._text_test, self._presence))(0)
        match pick.randrange(10):
            case 0 | 1:
                return f"({self.condition(depth - 1)} && {self.condition(depth - 1)})"
            case 2 | 3:
                return f"({self.condition(depth - 1)} || {self.condition(depth - 1)})"
            case 4:
                return f"!({self.condition(depth - 1)})"
            case 5:
                return self._quantifier(depth)
            case 6:
                chosen = f"{self.condition(depth - 1)} : {self.condition(depth - 1)}"
                return f"({self.condition(depth - 1)} ? {chosen})"
            case 7:
                return self.path("bool")
            case _:
                return pick.choice((self._comparison, self._membership, self._text_test))(depth - 1)

    def _comparison(self, depth: int) -> str:
        pick = self._random
        sign = pick.choice(("==", "!=", "<", "<=", ">", ">="))
        kind = pick.choice(("number", "number", "text", "bool", "null", "list", "map"))
        if kind in {"null", "list", "map"}:
            sign = pick.choice(("==", "!="))
        left = self.path(kind) if pick.random() < 0.6 else self.value(kind, depth)
        right = self.literal(kind) if pick.random() < 0.5 else self.value(kind, depth)
        return f"{right} {sign} {left}" if pick.random() < 0.3 else f"{left} {sign} {right}"

    def _membership(self, depth: int) -> str:
        pick = self._random
        kind = pick.choice(("number", "text", "bool", "null"))
        constant = ("list.words", "list.odd", "list.counts", "['a', 'run-7']", "[1, 2, 5]", "[dyn(0), 'a', null]", "[]")
        container = pick.choice((pick.choice(constant), self.path("list"), self.path("map"), self.value("list", depth)))
        return f"{self.path(kind)} in {container}"

    def _text_test(self, depth: int) -> str:
        pick = self._random
        method = pick.choice(("startsWith", "endsWith", "contains", "matches"))
        part = pick.choice(("'a'", "'run'", "'^r.n'", "'é|😀'", "''", self.path("text")))
        return f"{self.path('text') if depth == 0 else self.value('text', depth)}.{method}({part})"

    def _presence(self, _depth: int) -> str:
        return self._random.choice(
            (
                "has(event.data.i)",
                "has(event.data.m.s)",
                "has(event.subject)",
                "has(event.data.none)",
                "has(event.data)",
            )
        )

    def _quantifier(self, depth: int) -> str:
        pick = self._random
        name = pick.choice(("x", "y"))
        over = pick.choice((self.path("list"), self.path("map"), "[1, 2, 5]", "[dyn(1), 'a', true]"))
        macro = pick.choice(("all", "exists", "exists_one"))
        self._variables.append(name)
        test = self.condition(depth - 1)
        self._variables.pop()
        return f"{over}.{macro}({name}, {test})"

    def literal(self, kind: str) -> str:
        """A constant of this kind."""
        pick = self._random
        match kind:
            case "number":
                return pick.choice([str(each) for each in INTS if each > -(2**63)] + [repr(each) for each in DOUBLES])
            case "text":
                return pick.choice(_LITERAL_TEXTS)
            case "bool":
                return pick.choice(("true", "false"))
            case "list":
                return pick.choice(("[]", "[1, 2]", "[dyn(1), 'a']"))
            case "map":
                return pick.choice(("{}", "{'i': 1}", "{'i': dyn(1), 's': 'a'}"))
            case _:
                return "null"

    def value(self, kind: str, depth: int = 2) -> str:
        """CEL text that should be of this kind."""
        pick = self._random
        if depth <= 0 or pick.random() < 0.3:
            return self.path(kind) if pick.random() < 0.7 else self.literal(kind)
        less = depth - 1
        match kind:
            case "number":
                sign = pick.choice(("+", "-", "*", "/", "%"))
                return pick.choice(
                    (
                        f"({self.path('number')} {sign} {self.value('number', less)})",
                        f"({self.path('number')} {sign} {pick.choice(('1', '2', '1.0', '-1', '0'))})",
                        f"(-{self.path('number')})",
                        f"size({self.path(pick.choice(('text', 'list', 'map')))})",
                        f"{pick.choice(('int', 'double'))}({self.path(pick.choice(('number', 'text')))})",
                    )
                )
            case "text":
                return pick.choice(
                    (
                        f"({self.path('text')} + {self.value('text', less)})",
                        f"string({self.path(pick.choice(('number', 'text', 'bool')))})",
                        f"({self.condition(less)} ? {self.path('text')} : {self.path('text')})",
                    )
                )
            case "list":
                return self._list(less)
            case "map":
                key = pick.choice(("'s'", "event.type", "'i'"))
                return f"{{'i': {self.path('number')}, {key}: {self.value('text', less)}}}"
            case "bool":
                return f"({self.condition(less)})"
            case _:
                return self.path(kind)

    def _list(self, depth: int) -> str:
        pick = self._random
        name = pick.choice(("x", "y"))
        # Only over lists: the C++ runtime goes through a map in an order of its own.
        over = pick.choice(("event.data.l.filter(q, true)", "[1, 2, 5]", "list.odd"))
        self._variables.append(name)
        test, item = self.condition(depth), self.value(pick.choice(("number", "text")), depth)
        self._variables.pop()
        return pick.choice(
            (
                f"[{self.path('number')}, {self.value('text', depth)}]",
                f"{over}.map({name}, {item})",
                f"{over}.filter({name}, {test})",
                f"{over}.map({name}, {test}, {item})",
                f"({self.path('list')} + {self.path('list')})",
            )
        )
