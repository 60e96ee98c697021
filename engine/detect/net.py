"""Signals to a discrimination net: an event's values at a few paths to the signals that its judging may come to.

What a net leaves out is plainly false on the event: no match and no fault is lost (`engine.cel.hints` says why). So
the cost of an event follows the signals that may match. `engine.detect.index` makes one net per event type.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from engine.cel.hints import Hint, Missing, Path
from engine.cel.write import DEVIATIONS
from engine.detect.watch import Watch
from engine.model import Event

VALUES_MAX = 64
"""A test of more values tells little apart, and would cost memory for each."""
LEAF_LEN_MAX = 3
"""So few signals are judged one by one sooner than told apart."""

Watches = tuple[Watch, ...]
"""Signals in the order of the rule set."""
Given = Mapping[Path, str]
"""Texts that an event is known to have, by their paths."""
Sift = Callable[[Event], bool]
"""What tells of the only signal of a leaf that its condition is plainly false."""
Find = Callable[[Event], Watches]
"""Those that may match an event or have a fault on it."""


class Net:
    """Some signals by the values that their conditions demand."""

    __slots__ = ("_always", "_tests")

    def __init__(self, watches: Sequence[Watch], given: Given, tested: frozenset[Path] = frozenset()) -> None:
        """`tested`: the paths that were looked at on the way here; `given`: the texts that were found there."""
        chosen = _choose(watches, tested)
        self._always: Watches = tuple(watch for watch in watches if watch.place not in chosen)
        by_path: dict[Path, list[tuple[Watch, Hint]]] = {}
        for watch in watches:
            hint = chosen.get(watch.place)
            if hint is not None:
                by_path.setdefault(hint.path, []).append((watch, hint))
        self._tests = tuple(_Test(path, demanding, given, tested | {path}) for path, demanding in by_path.items())

    def finder(self) -> Find:
        """What answers for this net: its only test, where there is but one."""
        if len(self._tests) == 1 and not self._always:
            return self._tests[0].find
        always = self._always
        return self.find if self._tests else lambda _event: always

    def find(self, event: Event) -> Watches:
        """Those that may match the event or have a fault on it."""
        found = self._always
        for test in self._tests:
            more = test.find(event)
            if more:
                found = in_order(found, more) if found else more
        return found


class _Test:
    """One path of an event, and where its value leads."""

    __slots__ = ("_absent", "_all", "_path", "find")

    find: Find

    def __init__(
        self, path: Path, demanding: Sequence[tuple[Watch, Hint]], given: Given, tested: frozenset[Path]
    ) -> None:
        self._path = path
        by_value: dict[Any, list[Watch]] = {}
        for watch, hint in demanding:
            for value in hint.values:
                by_value.setdefault(value, []).append(watch)
        # Most branches are leaves: what a value leads to is then at hand.
        leaves: dict[Any, Watches] = {}
        sifts: dict[Any, Sift] = {}
        nets: dict[Any, Find] = {}
        for value, found in by_value.items():
            more = {**given, path: value} if isinstance(value, str) else given
            if len(found) <= LEAF_LEN_MAX:
                leaves[value] = tuple(found)
                sift = found[0].sift(more) if len(found) == 1 else None
                if sift is not None:
                    sifts[value] = sift
            else:
                nets[value] = Net(found, more, tested).finder()
        self._absent = tuple(watch for watch, hint in demanding if hint.missing is Missing.FAULT)
        self._all = tuple(watch for watch, _ in demanding)
        self.find = _find(path, leaves, sifts, nets, self._find_slowly)

    def _find_slowly(self, event: Event) -> Watches:
        """Nothing is there, or a list or map (which equals no constant), or no map is on the way to it."""
        held = getattr(event, self._path[0])
        if held is None and self._path == ("subject",):
            return self._absent
        for place, name in enumerate(self._path[1:], 2):
            if type(held) is not dict:
                return self._all
            if name not in held:
                return self._absent if place == len(self._path) else self._all
            held = held[name]
        return ()


def in_order(some: Iterable[Watch], others: Iterable[Watch]) -> Watches:
    """Both, in the order of the rule set."""
    return tuple(sorted((*some, *others), key=lambda watch: watch.place))


def _choose(watches: Sequence[Watch], tested: frozenset[Path]) -> dict[int, Hint]:
    """For each signal, by its place, the test that leaves it with the fewest others; none where that is most of all."""
    # Below the root only tests of one value: a signal then stands in one branch, and the net grows as the rules do.
    values_max = 1 if tested else VALUES_MAX
    usable = {
        watch.place: [hint for hint in watch.demands if hint.path not in tested and len(hint.values) <= values_max]
        for watch in watches
    }
    company = Counter((hint.path, value) for found in usable.values() for hint in found for value in hint.values)

    def cost(hint: Hint) -> int:
        return sum(company[hint.path, value] for value in hint.values)

    best = {place: min(found, key=cost) for place, found in usable.items() if found}
    return {place: hint for place, hint in best.items() if 2 * cost(hint) <= len(watches)}


def _find(
    path: Path, leaves: Mapping[Any, Watches], sifts: Mapping[Any, Sift], nets: Mapping[Any, Find], slowly: Find
) -> Find:
    """Where the value at a path leads; `slowly` is asked where there is none, or one that equals no constant.

    The sifts come first: of ten thousand leaves hardly any is in the processor's caches, the few different sifts are.
    """
    leaf_of, sift_of, net_of = leaves.get, sifts.get, nets.get

    def go_on(value: Any, event: Event) -> Watches:
        found = leaf_of(value)
        if found is not None:
            return found
        deeper = net_of(value)
        return () if deeper is None else deeper(event)

    def find(event: Event) -> Watches:
        try:
            value = look(event)
            sift = sift_of(value)
        except (KeyError, TypeError):
            return slowly(event)
        if sift is not None:
            try:
                if not sift(event):
                    return ()
            except DEVIATIONS:
                pass
        return go_on(value, event)

    if len(path) != 2 or path[0] != "data":
        look = _look(path)
        return find
    name = path[1]

    def find_in_data(event: Event) -> Watches:
        """The same, without a call to look: most conditions ask for a member of the data."""
        try:
            value = event.data[name]  # type: ignore[index,call-overload]  # no map: TypeError, as said
            sift = sift_of(value)
        except (KeyError, TypeError):
            return slowly(event)
        if sift is not None:
            try:
                if not sift(event):
                    return ()
            except DEVIATIONS:
                pass
        return go_on(value, event)

    return find_in_data


def _look(path: Path) -> Callable[[Event], Any]:
    """The value at a path; the function raises KeyError or TypeError where there is none."""
    root = attrgetter(path[0])
    match path[1:]:
        case () if path[0] == "subject":
            return _subject
        case ():
            return root
        case (last,):
            return lambda event: root(event)[last]
        case names:

            def look(event: Event) -> Any:
                held = root(event)
                for name in names:
                    held = held[name]
                return held

            return look


def _subject(event: Event) -> str:
    if event.subject is None:
        raise KeyError("subject")
    return event.subject
