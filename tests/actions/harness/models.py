"""Real folders of models: one that is served, its quarantine, and backups of which the newest is damaged."""

import hashlib
import os
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness


def write_backup(folder, content):
    """A checkpoint with its SHA256SUMS."""
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.npz").write_bytes(content)
    (folder / "sub/config.json").write_text("{}")
    names = ["sub/config.json", "weights.npz"]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


class QuarantineHarness(Harness):
    action = "model.quarantine"

    @contextmanager
    def fresh(self):
        base = self.tmp / f"site-{next(self.numbers)}"
        self.models, self.aside, self.backups = (base / name for name in ("models", "aside", "backups"))
        self.model = self.models / "fraud"
        self.model.mkdir(parents=True)
        self.aside.mkdir()
        (self.model / "weights.npz").write_bytes(b"poisoned")
        for age, (name, content) in enumerate([("v3", b"third"), ("v2", b"second"), ("v1", b"first")]):
            write_backup(self.backups / "fraud" / name, content)
            os.utime(self.backups / "fraud" / name / "SHA256SUMS", (1_000_000 - age, 1_000_000 - age))
        (self.backups / "fraud/v3/weights.npz").write_bytes(b"tampered")
        yield

    def params(self):
        return {"model": "fraud"}

    def settings(self):
        return {"folder": str(self.models), "quarantine": str(self.aside), "backups": str(self.backups)}

    def state(self):
        base = self.models.parent
        return {str(each.relative_to(base)): each.is_dir() or each.read_bytes() for each in base.rglob("*")}

    def contained(self):
        return not self.model.exists()

    def effects(self):
        return len(list(self.aside.iterdir()))

    def someone_undoes(self):
        next(self.aside.iterdir()).rename(self.model)
        return True

    def someone_changes(self):
        self.model.mkdir()
        (self.model / "weights.npz").write_bytes(b"a newly trained one")
        return True

    def failures(self):
        @contextmanager
        def replaced():
            self.model.rename(self.models / "old")
            self.someone_changes()
            yield

        return [
            Failure("no such model", "check its name", params={"model": "nobody"}),
            Failure("no folder", "make it", settings={"quarantine": "/nonexistent"}),
            Failure("another file system", "another file system", settings={"quarantine": "/dev/shm"}),
            Failure("replaced meanwhile", "was replaced since", during=replaced, at_apply=True),
        ]


class RestoreHarness(QuarantineHarness):
    action = "model.restore"

    def contained(self):
        return (self.model / "weights.npz").read_bytes() == b"second" and (self.model / "sub/config.json").exists()

    def someone_undoes(self):
        (self.model / "weights.npz").write_bytes(b"poisoned again")
        return True

    def someone_changes(self):
        (self.model / "weights.npz").write_bytes(b"a newly trained one")
        return True

    def failures(self):
        @contextmanager
        def damaged():
            for name in ("v1", "v2"):
                (self.backups / "fraud" / name / "weights.npz").write_bytes(b"tampered")
            yield

        return [
            Failure("no backups", "each needs a SHA256SUMS", params={"model": "nobody"}),
            Failure("none is old enough", "not from before 1970", params={"before": "1970-01-01T00:00:00Z"}),
            Failure(
                "the named one is too new",
                "not from before",
                params={"version": "v1", "before": "1970-01-01T00:00:00Z"},
            ),
            Failure("no such time", "`before`", params={"before": "2026-13-01T00:00:00Z"}),
            Failure("the named backup does not verify", "not what SHA256SUMS says", params={"version": "v3"}),
            Failure("no backup verifies", "no checkpoint is sound", during=damaged),
            Failure("damaged after the check", "the copy does not verify", during=damaged, at_apply=True),
            Failure("another file system", "another file system", settings={"quarantine": "/dev/shm"}),
        ]
