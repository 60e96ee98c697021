"""Real files and their hashes."""

import hashlib
import os

import pytest

from engine.forensics.integrity import SecurityAlert, examine_integrity, verify_model_integrity
from engine.forensics.report import EvidenceError, Judgement

DATA = b"weights" * 500_000
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_the_expected_file_is_true_and_another_raises(tmp_path):
    """The hash may come in capitals or with its prefix; a changed byte raises; a text that is no hash is an error."""
    model = tmp_path / "model.bin"
    model.write_bytes(DATA)
    assert verify_model_integrity(model, DIGEST.upper()) is True
    assert verify_model_integrity(model, f" sha256:{DIGEST}\n") is True
    with pytest.raises(ValueError, match="no SHA-256"):
        verify_model_integrity(model, "")
    model.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(SecurityAlert, match="Model integrity compromised"):
        verify_model_integrity(model, DIGEST)


def test_the_report_names_both_hashes(tmp_path):
    """Clean or a finding, with what it was compared with and what it is."""
    model = tmp_path / "model.bin"
    model.write_bytes(DATA)
    assert examine_integrity(model, DIGEST).judgement is Judgement.CLEAN
    report = examine_integrity(model, "0" * 64)
    assert report.judgement is Judgement.FINDING
    assert DIGEST in report.marks[0].why
    assert "0" * 64 in report.compared_with


def test_a_sparse_giant_and_a_stop_end_it_early(tmp_path):
    """100 GB of holes are refused unread, and who waits no longer stops the reading."""
    with (tmp_path / "giant").open("wb") as file:
        os.truncate(file.fileno(), 100_000_000_000)
    with pytest.raises(EvidenceError, match="sparse: 100,000,000,000"):
        verify_model_integrity(tmp_path / "giant", DIGEST)
    (tmp_path / "model").write_bytes(DATA)
    with pytest.raises(EvidenceError, match="stopped"):
        examine_integrity(tmp_path / "model", DIGEST, stopped=lambda: True)
