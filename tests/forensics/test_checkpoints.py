"""Real folders of checkpoints: kept, listed, judged, tampered with."""

import os

import msgspec
import pytest

from engine.clock import parse_time_us
from engine.forensics.checkpoints import (
    ABOUT,
    SUMS,
    About,
    Opinion,
    Standing,
    add_checkpoint,
    examine_checkpoint,
    judge_checkpoint,
    list_checkpoints,
    newest_sound,
    why_tampered,
)
from engine.forensics.report import EvidenceError

DIRTY = Opinion(contaminated=True, why="trained on the poisoned shard", by="ann", at="2026-03-01T00:00:00Z")
CLEAN = msgspec.structs.replace(DIRTY, contaminated=False, why="weights compared with v1")


@pytest.fixture
def backups(tmp_path):
    """Three checkpoints, of January to March; the data of the last goes to mid-February only."""
    source = tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    (source / "sub/config.json").write_text("{}")
    for month, until in ((1, ""), (2, ""), (3, "2026-02-15T00:00:00Z")):
        (source / "weights.npz").write_bytes(b"weights %d" % month)
        about = About(made=f"2026-0{month}-01T00:00:00Z", data_until=until)
        add_checkpoint(source, tmp_path / "backups", f"v{month}", about=about)
    return tmp_path / "backups"


def test_checkpoints_are_listed_newest_first_by_their_data(backups):
    """`data_until` tells what may have got into a model; when it was written does not."""
    found = list_checkpoints(backups)
    assert [each.version for each in found] == ["v3", "v2", "v1"]
    assert {each.standing for each in found} == {Standing.SOUND}
    assert found[0].time_us == parse_time_us("2026-02-15T00:00:00Z")
    assert (found[0].files, found[0].why) == (3, "")


@pytest.mark.parametrize(
    ("before", "version"), [(None, "v3"), ("2026-02-15T00:00:00Z", "v2"), ("2026-01-01T00:00:01Z", "v1")]
)
def test_the_newest_that_predates_the_contamination_is_taken(backups, before, version):
    """One of exactly that time does not predate it; what was passed over is said."""
    found, rejected = newest_sound(backups, before_us=before and parse_time_us(before))
    assert found.version == version
    assert set(rejected) == {each for each in ("v3", "v2") if each > version}


def test_where_none_predates_it_there_is_none(backups):
    """An error that names every one and why not."""
    with pytest.raises(EvidenceError, match=r"no checkpoint is sound: v3: it is of 2026-02-15.*v1: it is of"):
        newest_sound(backups, before_us=parse_time_us("2026-01-01T00:00:00Z"))


def change(place):
    (place / "weights.npz").write_bytes(b"backdoored")


def add(place):
    (place / "extra.py").write_text("print()")


def link(place):
    (place / "weights.npz").unlink()
    (place / "weights.npz").symlink_to("/etc/hostname")


def forge_time(place):
    (place / ABOUT).write_bytes(msgspec.json.encode(About(made="2020-01-01T00:00:00Z")))


def empty(place):
    (place / SUMS).write_bytes(b"")


def escape(place):
    (place / SUMS).write_text(f"{'0' * 64}  ../../etc/passwd\n")


def lose(place):
    (place / SUMS).unlink()


@pytest.mark.parametrize("how", [change, add, link, forge_time, empty, escape, lose])
def test_what_was_tampered_with_is_never_taken(backups, how):
    """Whatever was done to it: it is listed as such with the reason, and the one before is taken."""
    how(backups / "v3")
    found = examine_checkpoint(backups, "v3")
    assert found.standing is Standing.TAMPERED
    assert found.why
    assert why_tampered(backups / "v3")
    assert newest_sound(backups)[0].version == "v2"


def test_a_word_on_a_checkpoint_counts_and_the_newest_one_wins(backups):
    """Contaminated: passed over. Judged clean later: taken again, with the word beside it."""
    judge_checkpoint(backups, "v3", DIRTY)
    chosen, rejected = newest_sound(backups)
    assert chosen.version == "v2"
    assert "said by ann" in rejected["v3"]
    assert "poisoned shard" in rejected["v3"]
    judge_checkpoint(backups, "v3", CLEAN)
    assert newest_sound(backups)[0].version == "v3"
    assert "said clean by ann" in newest_sound(backups)[0].why


def test_what_was_rewritten_after_it_was_judged_is_tampered_with(backups, tmp_path):
    """Whoever can write both the files and their SHA256SUMS is still found out by the verdict beside them."""
    judge_checkpoint(backups, "v3", CLEAN)
    (tmp_path / "model/weights.npz").write_bytes(b"backdoored")
    add_checkpoint(tmp_path / "model", tmp_path / "forged", "v3", about=About(made="2026-03-01T00:00:00Z"))
    for name in ("weights.npz", ABOUT, SUMS, "sub/config.json"):
        (backups / "v3" / name).write_bytes((tmp_path / "forged/v3" / name).read_bytes())
    assert not why_tampered(backups / "v3")
    found = examine_checkpoint(backups, "v3")
    assert (found.standing, "rewritten since ann judged it" in found.why) == (Standing.TAMPERED, True)


def test_a_verdict_that_cannot_be_read_is_not_taken_for_a_good_one(backups):
    """Whether it says contaminated can't be told."""
    (backups / "v3.verdict.json").write_text("{")
    assert examine_checkpoint(backups, "v3").standing is Standing.TAMPERED


def test_a_checkpoint_is_never_overwritten_and_holds_plain_files_only(backups, tmp_path):
    """The same version twice, a link, an empty folder, one with a SHA256SUMS of its own: refused, nothing left."""
    about = About(made="2026-04-01T00:00:00Z")
    with pytest.raises(EvidenceError, match="never overwritten"):
        add_checkpoint(tmp_path / "model", backups, "v3", about=about)
    odd = tmp_path / "odd"
    odd.mkdir()
    with pytest.raises(EvidenceError, match="is empty"):
        add_checkpoint(odd, backups, "v4", about=about)
    (odd / "a").symlink_to("/etc/hostname")
    with pytest.raises(EvidenceError, match="plain file"):
        add_checkpoint(odd, backups, "v4", about=about)
    (odd / "a").unlink()
    (odd / SUMS).write_text("x")
    with pytest.raises(EvidenceError, match="holds SHA256SUMS already"):
        add_checkpoint(odd, backups, "v4", about=about)
    assert sorted(os.listdir(backups)) == ["v1", "v2", "v3"]
    with pytest.raises(EvidenceError, match="there is no checkpoint"):
        judge_checkpoint(backups, "v9", DIRTY)
