"""Models that were really signed by OpenSSF model signing, held against their signatures without a network."""

import sys

import pytest

from engine.forensics.report import EvidenceError, Judgement
from engine.forensics.signature import examine_signature
from tests.support.signing import signed_model


@pytest.fixture
def signed(tmp_path):
    return signed_model(tmp_path)


def by(signed, way):
    """The report by key or by certificate."""
    if way == "key":
        return examine_signature(signed.model, signed.by_key, public_key=signed.key)
    return examine_signature(signed.model, signed.by_certificate, certificates=[signed.root])


@pytest.mark.parametrize("way", ["key", "certificate"])
def test_a_model_as_it_was_signed_is_clean(signed, way):
    """By whom stands in the report."""
    report = by(signed, way)
    assert report.judgement is Judgement.CLEAN, report.summary
    assert str(signed.key if way == "key" else signed.root) in report.compared_with


def change(model):
    (model / "weights.npz").write_bytes(b"others")


def add(model):
    (model / "extra.py").write_text("print()")


def take(model):
    (model / "sub/config.json").unlink()


@pytest.mark.parametrize("way", ["key", "certificate"])
@pytest.mark.parametrize(("how", "names"), [(change, "weights.npz"), (add, "extra.py"), (take, "config.json")])
def test_whatever_was_changed_is_a_finding_that_names_it(signed, way, how, names):
    """Changed, added, missing."""
    how(signed.model)
    report = by(signed, way)
    assert report.judgement is Judgement.FINDING
    assert names in report.summary


def test_a_signature_of_somebody_else_or_that_was_altered_is_a_finding(signed, tmp_path):
    """Another key; one letter of the statement changed."""
    report = examine_signature(signed.model, signed.by_key, public_key=signed.other_key)
    assert report.judgement is Judgement.FINDING
    text = signed.by_key.read_text()
    place = text.index('"payload"') + 14
    (tmp_path / "altered").write_text(text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :])
    report = examine_signature(signed.model, tmp_path / "altered", public_key=signed.key)
    assert report.judgement is Judgement.FINDING
    own = examine_signature(signed.model, signed.by_certificate, certificates=[tmp_path / "signer.crt"])
    assert own.judgement is Judgement.FINDING, "a certificate that nobody vouches for is no chain"


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[]", "\x00\xff", '{"verificationMaterial": 3}'])
def test_what_is_no_signature_is_said_and_never_clean(signed, tmp_path, text):
    """Whatever stands in the file."""
    (tmp_path / "odd").write_text(text)
    with pytest.raises(EvidenceError):
        examine_signature(signed.model, tmp_path / "odd", public_key=signed.key)


def test_what_is_missing_is_said(signed, tmp_path, monkeypatch):
    """The model, the signature, the key, both or neither of key and chain, the library."""
    for model, signature, key in (
        (tmp_path / "none", signed.by_key, signed.key),
        (signed.model, tmp_path / "none", signed.key),
        (signed.model, signed.by_key, tmp_path / "none"),
        (signed.model, signed.by_key, signed.by_key),
    ):
        with pytest.raises(EvidenceError):
            examine_signature(model, signature, public_key=key)
    with pytest.raises(EvidenceError, match="one of the two"):
        examine_signature(signed.model, signed.by_key)
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    with pytest.raises(EvidenceError, match=r"halon\[signing\]"):
        by(signed, "key")
