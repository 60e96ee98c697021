"""engine/detectors/distribution.py, psi.py, js.py, ks.py: distributions that shift, as effect sizes."""

import msgspec
import numpy as np
import pytest

from engine.detectors.distribution import CATEGORIES_MAX, OTHER, Bins
from engine.detectors.js import Js, JsParams
from engine.detectors.ks import Ks, KsParams
from engine.detectors.psi import Psi, PsiParams
from engine.detectors.sample import Sample, as_value
from tests.support.detecting import observe

RNG = np.random.default_rng(21)
CALM = RNG.normal(0.0, 1.0, 4_000).tolist()
SHIFTED = RNG.normal(1.0, 1.0, 1_000).tolist()
WIDER = RNG.normal(0.0, 3.0, 1_000).tolist()
ALL = [(Psi, PsiParams), (Js, JsParams), (Ks, KsParams)]


def found(detector, values):
    return [
        place
        for place, each in enumerate(values)
        if detector.update(observe(place, each if isinstance(each, float) else None, of=each)) is not None
    ]


@pytest.mark.parametrize(("kind", "params"), ALL, ids=["psi", "js", "ks"])
@pytest.mark.parametrize("tail", [SHIFTED, WIDER], ids=["shifted", "wider"])
@pytest.mark.parametrize("against", ["first", "past"])
def test_a_shift_is_found_within_a_window_and_not_before(kind, params, tail, against):
    """A mean that moves by a deviation, or a spread three times as wide, is found while the window fills with it."""
    places = found(kind(params(against=against)), CALM + tail)
    assert places
    assert 4_000 < places[0] <= 4_500


@pytest.mark.parametrize(("kind", "params"), ALL, ids=["psi", "js", "ks"])
def test_against_the_past_a_shift_is_over_once_it_is_the_past(kind, params):
    """After reference and window have both passed it, a new level is the usual one; against the first it never is."""
    values = CALM + RNG.normal(1.5, 1.0, 4_000).tolist()
    assert max(found(kind(params(against="past")), values)) < 4_000 + 1_600
    assert max(found(kind(params(against="first")), values)) > 7_900


@pytest.mark.parametrize(("kind", "params"), ALL[:2], ids=["psi", "js"])
def test_categories_are_compared_too(kind, params):
    """A class that takes over half of the answers, or a new one, is found; the same mix is not."""
    mix = RNG.choice(["cat", "dog", "fish"], 3_000, p=[0.6, 0.3, 0.1]).tolist()
    same = RNG.choice(["cat", "dog", "fish"], 1_000, p=[0.6, 0.3, 0.1]).tolist()
    moved = RNG.choice(["cat", "dog", "bird"], 1_000, p=[0.2, 0.3, 0.5]).tolist()
    assert found(kind(params()), mix + same) == []
    assert found(kind(params()), mix + moved)[0] > 3_000


def test_equal_distributions_are_nought_and_disjoint_ones_are_full():
    """The effect sizes at their ends, from their definitions."""
    one, other = [float(each) for each in range(100)], [1_000.0] * 100
    for kind, params in ALL:
        detector = kind(params())
        prepared = detector.prepare(one)
        assert detector.compare(prepared, one)[0] == pytest.approx(0.0, abs=1e-9)
    ks = Ks(KsParams())
    assert ks.compare(ks.prepare(one), other)[0] == 1.0
    js = Js(JsParams())
    assert 0.9 < js.compare(js.prepare(["a"] * 100), ["b"] * 100)[0] < 1.0


def test_psi_is_the_sum_it_says_it_is():
    """Shares of 0.5/0.5 against 0.25/0.75, with the half that is added."""
    psi = Psi(PsiParams())
    p, q = 100.5 / 201, 50.5 / 201
    expected = (q - p) * np.log(q / p) + (1 - q - 1 + p) * np.log((1 - q) / (1 - p))
    effect, _ = psi.compare(psi.prepare(["a"] * 100 + ["b"] * 100), ["a"] * 50 + ["b"] * 150)
    assert effect == pytest.approx(expected)


def test_more_categories_than_are_kept_count_as_one():
    """A value of ever new texts takes bounded memory."""
    bins = Bins([f"user-{each}" for each in range(5_000)], 10)
    assert len(bins.counts) == CATEGORIES_MAX + 1
    assert bins.counts[OTHER] == 5_000 - CATEGORIES_MAX


def test_bins_that_look_alike_when_rounded_are_still_several():
    """Values of little spread around a large number have as many bins as others, and a shift among them is found."""
    near = [100_000.0 + each / 1_000.0 for each in CALM]
    bins = Bins(near, 10)
    assert len(bins.counts) == 10
    assert found(Psi(PsiParams()), near + [100_000.0 + each / 1_000.0 for each in SHIFTED])[0] >= 4_000


def test_a_text_that_looks_like_a_bin_is_a_category_of_its_own():
    """Numbers and texts of one stream never share a bin."""
    bins = Bins([1.0, 2.0, "0", "1"] * 10, 2)
    assert [(bins.name(place), bins.counts[place]) for place, _, _ in bins.shares(["x"])] == [
        ("x < 2", 10),
        ("2 <= x", 10),
        ("'0'", 10),
        ("'1'", 10),
        (OTHER, 0),
    ]


@pytest.mark.parametrize(
    ("of", "value"),
    [(True, "true"), (1, 1.0), ("x" * 99, "x" * 64), ([1], None), (2**2_000, None), (float("nan"), None)],
)
def test_numbers_are_numbers_and_the_rest_are_categories(of, value):
    """What is neither number, text nor bool is nothing."""
    assert as_value(of) == value


@pytest.mark.parametrize(("kind", "params"), ALL, ids=["psi", "js", "ks"])
def test_a_reference_from_a_file_is_there_from_the_first_window_on(kind, params):
    """What differs from the file is found as soon as a window is full, what is like it never; the file is named."""
    chosen = params(file="usual.json")
    like, unlike = kind(chosen, Sample("usual.json", CALM)), kind(chosen, Sample("usual.json", CALM))
    assert found(like, RNG.normal(0.0, 1.0, 3_000).tolist()) == []
    assert found(unlike, SHIFTED)[0] == chosen.window + chosen.window // 10 - 1 - 1
    finding = [unlike.update(observe(place, value, of=value)) for place, value in enumerate(SHIFTED[:60])][-1]
    assert finding is None or "to the 4000 of usual.json" in finding.detail


def test_a_reference_from_a_file_is_no_part_of_a_key_s_state():
    """The state holds the recent window alone, survives a round trip; all keys share what was made of the file."""
    chosen, sample = PsiParams(file="usual.json", window=20), Sample("usual.json", CALM)
    one, other = Psi(chosen, sample), Psi(chosen, sample)
    found(one, SHIFTED[:30])
    assert len(one.dump()) <= one.bytes_max() < Psi(PsiParams(window=20)).bytes_max()
    other.load(one.dump())
    assert found(other, SHIFTED[30:90]) == found(one, SHIFTED[30:90]) != []
    with pytest.raises(msgspec.DecodeError):
        one.load(msgspec.msgpack.encode({"reference": [1.0]}))


def test_a_file_and_the_past_contradict_each_other():
    """And a column without a file names nothing."""
    with pytest.raises(ValueError, match="asks for the past"):
        PsiParams(file="usual.json", against="past")
    with pytest.raises(ValueError, match="is missing"):
        KsParams(column="score")


def test_a_state_of_another_size_is_refused():
    """`load` checks what it is given."""
    with pytest.raises(msgspec.DecodeError):
        Psi(PsiParams(reference=20)).load(msgspec.msgpack.encode({"reference": [1.0] * 21}))
