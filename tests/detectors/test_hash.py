"""engine/detectors/hash.py: artefacts that are not what they should be."""

import pytest

from engine.detectors.hash import Hash, HashParams
from tests.support.detecting import observe

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("params", "of", "said"),
    [
        ({"sha256": A}, A, None),
        ({"sha256": A}, f"sha256:{A.upper()}", None),
        ({"sha256": A}, B, "is expected"),
        ({"sha256": A}, {"name": "model.bin", "sha256": B}, "model.bin has"),
        ({"sha256": A}, "", "no SHA-256"),
        ({"sha256": A}, None, "no SHA-256"),
        ({"sha256": A}, A[:-1], "no SHA-256"),
        ({"manifest": {"x": A}}, {"name": "x", "sha256": A}, None),
        ({"manifest": {"x": A}}, {"name": "x", "sha256": B}, "is expected"),
        ({"manifest": {"x": A}}, {"name": "y", "sha256": A}, "not in the manifest"),
        ({"manifest": {"x": A}, "unlisted": False}, {"name": "y", "sha256": A}, None),
    ],
)
def test_only_the_expected_digest_passes(params, of, said):
    """Another digest, none, or a name that no one listed is a finding that says which."""
    finding = Hash(HashParams(**params)).update(observe(0, of=of))
    assert (finding is None) if said is None else (said in finding.detail)


def test_without_an_expectation_the_first_one_is_it():
    """A change of a running artefact is found without knowing its digest."""
    detector = Hash(HashParams())
    assert [detector.update(observe(0, of=of)) is not None for of in (A, A, B, A)] == [False, False, True, False]


def test_two_expectations_are_one_too_many():
    """Either a digest or a manifest."""
    with pytest.raises(ValueError, match="leave one out"):
        HashParams(sha256=A, manifest={"x": A})
