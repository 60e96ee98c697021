"""Tables to structs: every mistake, each with its place; the struct only when there is none."""

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from engine.clock import SECOND_US, Duration
from engine.model import Json, Mode, Struct
from engine.structread import FINDINGS_MAX, read_struct
from engine.tomlfile import TomlFile, parse_toml


class Inner(Struct, frozen=True):
    port: Annotated[int, Meta(ge=1, le=9)] = 1
    name: Annotated[str, Meta(min_length=1)] = "n"


class Outer(Struct, frozen=True):
    need: str
    count: int = 0
    share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    flag: bool = False
    every: Duration = Duration(0)
    mode: Mode = Mode.ENFORCE
    level: Literal["low", "high"] = "low"
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    texts: str | tuple[str, ...] = ()
    some: Annotated[tuple[int, ...], Meta(max_length=2)] = ()
    anything: Json = None
    for_: Duration | None = msgspec.field(name="for", default=None)

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("thirteen is unlucky")


def read(text, **options):
    file = parse_toml(text.encode(), "x.toml")
    assert isinstance(file, TomlFile)
    return read_struct(Outer, file.table, file, (), what="the table", **options)


def test_a_sound_table_becomes_the_struct():
    """Every kind of field is read: nested, repeated, by name, durations, enums, renamed keys."""
    made, found = read(
        'need = "x"\ncount = 3\nshare = 1\nflag = true\nevery = "1m"\nmode = "observe"\nlevel = "high"\n'
        'inner = { port = 2 }\ninners = [{ port = 3 }, {}]\nby_name.a = { port = 4 }\ntexts = "one"\nsome = [1, 2]\n'
        'anything = [1, { a = "b" }]\nfor = "2s"\n'
    )
    assert found == []
    assert made == Outer(
        need="x",
        count=3,
        share=1.0,
        flag=True,
        every=Duration(60 * SECOND_US),
        mode=Mode.OBSERVE,
        level="high",
        inner=Inner(port=2),
        inners=(Inner(port=3), Inner()),
        by_name={"a": Inner(port=4)},
        texts="one",
        some=(1, 2),
        anything=[1, {"a": "b"}],
        for_=Duration(2 * SECOND_US),
    )


@pytest.mark.parametrize(
    ("line", "code", "column", "words"),
    [
        ("cuont = 3", "H004", 1, "unknown key `cuont` in the table"),
        ('count = "3"', "H006", 9, "`count` must be a whole number, not a text"),
        ("count = true", "H006", 9, "not a truth value"),
        ("count = 13", "H007", 1, "thirteen is unlucky"),
        ("share = 1.5", "H007", 9, "`share` must be at most 1.0"),
        ("share = nan", "H007", 9, "`share` must be a finite number"),
        ("flag = 1", "H006", 8, "`flag` must be `true` or `false`"),
        ('every = "5 minutes"', "H008", 9, "`5 minutes` is not a duration"),
        ('every = "9999d"', "H008", 9, "longer than ten years"),
        ("every = 5", "H006", 9, 'a duration such as `"5m"`, not a whole number'),
        ('mode = "enforced"', "H007", 8, "`mode` can't be `enforced`"),
        ("mode = 1", "H006", 8, "`mode` must be a text in quotes"),
        ('level = "middle"', "H007", 9, "`level` can't be `middle`"),
        ("inner = 3", "H006", 9, "`inner` must be a table in `{ }`"),
        ("inner = { port = 10 }", "H007", 18, "`port` must be at most 9"),
        ('inner = { name = "" }', "H007", 18, "`name` must not be empty"),
        ("inners = [{}, { prt = 1 }]", "H004", 17, "unknown key `prt` in an element of `inners`"),
        ("inners = {}", "H006", 10, "`inners` must be a list"),
        ('by_name.a = { port = "x" }', "H006", 22, "`port` must be a whole number"),
        ("texts = 3", "H006", 9, "`texts` must be a text in quotes, not a whole number"),
        ('texts = ["a", 3]', "H006", 15, "an element of `texts`"),
        ("some = [1, 2, 3]", "H007", 8, "`some` must have a length of at most 2"),
        ("anything = { a = [1979-05-27] }", "H006", 19, "not a date or time"),
        ("every = 07:32:00", "H006", 9, "not a date or time"),
        ("anything = [inf]", "H007", 13, "must be a finite number"),
        ('for = ""', "H008", 7, "is not a duration"),
    ],
)
def test_a_mistake_is_shown_at_its_place(line, code, column, words):
    """Code, column and title for each way in which a value can be wrong."""
    made, found = read(f'{line}\nneed = "x"\n')
    assert made is None
    assert [(each.code, each.span.line, each.span.column) for each in found] == [(code, 1, column)]
    assert words in found[0].title


def test_all_mistakes_are_found_at_once():
    """One pass reports every field, not the first one only."""
    made, found = read('count = "3"\nflag = 1\ninner = { port = 0, prot = 1 }\nsome = ["a", "b"]\n')
    assert made is None
    assert sorted(each.code for each in found) == ["H004", "H005", "H006", "H006", "H006", "H006", "H007"]


def test_findings_of_one_table_are_bounded():
    """A list of very many wrong elements does not give as many diagnostics."""
    _, found = read('need = "x"\nsome = [' + '"a",' * 5_000 + "]\n")
    assert len(found) == FINDINGS_MAX


def test_values_known_later_are_not_judged():
    """An opaque value is taken as it is, its neighbours are still judged, and no struct is made."""

    def opaque(value):
        return isinstance(value, str) and "${" in value

    assert read('need = "x"\ncount = "${n}"\nsome = [1, "${n}"]\n', opaque=opaque) == (None, [])
    _, found = read('need = "x"\ncount = "${n}"\nflag = 1\nsome = ["${n}", "b"]\n', opaque=opaque)
    assert [(each.code, each.span.line) for each in found] == [("H006", 3), ("H006", 4)]


def test_other_keys_are_left_to_others():
    """Keys that are judged elsewhere are neither unknown nor handed to the struct."""
    made, found = read('need = "x"\nelse = 1\n', other_keys=("else",))
    assert (made, found) == (Outer(need="x"), [])


_values = st.recursive(
    st.sampled_from(
        ["0", "-1", "7", "13", "99999999999999999999", "1.5", "nan", "true", '"x"', '"5m"', '""', "1979-05-27"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
        | st.lists(inner, max_size=3).map(
            lambda each: (
                "{"
                + ", ".join(f"{key} = {value}" for key, value in zip(("port", "a", "name"), each, strict=False))
                + "}"
            )
        )
    ),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*Outer.__struct_encode_fields__, "else"]), _values))
def test_there_is_a_struct_exactly_where_there_are_no_findings(table):
    """Whatever the values, the answer is a struct or diagnostics with places, never an exception and never neither."""
    made, found = read("".join(f"{key} = {value}\n" for key, value in table.items()))
    assert (made is None) == bool(found)
    assert all(each.span is not None and each.title for each in found)
