"""Real folders and their manifests."""

import hashlib

import msgspec
import pytest

from engine.forensics.manifest import build_manifest, examine_folder, merkle_root, read_manifest
from engine.forensics.report import EvidenceError, Judgement


@pytest.fixture
def folder(tmp_path):
    """Three shards, one below."""
    base = tmp_path / "model"
    (base / "sub").mkdir(parents=True)
    for name in ("shard-1", "shard-2", "sub/shard-3"):
        (base / name).write_text(name)
    return base


def test_the_root_is_that_of_rfc_6962():
    """For one to seven leaves it equals the recursive definition."""

    def define(leaves):
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0]).digest()
        half = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + define(leaves[:half]) + define(leaves[half:])).digest()

    for count in range(1, 8):
        leaves = [str(each).encode() for each in range(count)]
        assert merkle_root(leaves) == define(leaves).hex()


def test_changed_added_and_missing_shards_are_named(folder):
    """An unchanged folder is clean; each difference is named with its kind."""
    manifest = build_manifest(folder)
    assert [each.name for each in manifest.files] == ["shard-1", "shard-2", "sub/shard-3"]
    assert examine_folder(folder, manifest, root=manifest.root).judgement is Judgement.CLEAN
    (folder / "shard-1").write_text("SHARD-1")
    (folder / "sub/shard-3").rename(folder / "shard-4")
    report = examine_folder(folder, manifest)
    assert report.judgement is Judgement.FINDING
    kinds = {each.where: each.why.partition(":")[0] for each in report.marks}
    assert kinds == {"shard-1": "changed", "shard-4": "added", "sub/shard-3": "missing"}


def test_a_link_is_never_followed(folder):
    """Not in building, and in comparing it is marked as what can't be vouched for."""
    manifest = build_manifest(folder)
    (folder / "shard-2").unlink()
    (folder / "shard-2").symlink_to("/etc/hostname")
    with pytest.raises(EvidenceError, match="leads out of the folder"):
        build_manifest(folder)
    report = examine_folder(folder, manifest)
    assert "can't be vouched for" in report.marks[0].why


def test_a_manifest_that_was_changed_is_refused(folder, tmp_path):
    """Its root must be that of its entries, and the one that was kept elsewhere."""
    manifest = build_manifest(folder)
    path = tmp_path / "manifest.json"
    path.write_bytes(msgspec.json.encode(manifest))
    assert read_manifest(path) == manifest
    path.write_bytes(msgspec.json.encode(manifest).replace(b'"bytes":7', b'"bytes":8', 1))
    with pytest.raises(EvidenceError, match="its root is not that of its entries"):
        read_manifest(path)
    path.write_text("{}")
    with pytest.raises(EvidenceError, match="no manifest"):
        read_manifest(path)
    with pytest.raises(EvidenceError, match="another one"):
        examine_folder(folder, manifest, root="0" * 64)
