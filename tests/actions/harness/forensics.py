"""Real files to examine: a model with its hash, pickles, checkpoints, a training set."""

import hashlib
import json
import pickle
from contextlib import contextmanager

import numpy as np

from tests.actions.harness.base import Failure, Harness


class _Harness(Harness):
    """What the examinations share: the report in the evidence is the effect."""

    judgement = "finding"

    @contextmanager
    def fresh(self):
        self.folder = self.tmp / f"evidence-{next(self.numbers)}"
        self.folder.mkdir()
        self.before = set(self.tmp.glob("state/*/evidence/*/*/report.json"))
        self.make()
        yield

    def reports(self):
        return sorted(set(self.tmp.glob("state/*/evidence/*/*/report.json")) - self.before)

    def state(self):
        files = [each for each in self.folder.rglob("*") if each.is_file()]
        return [(str(each), each.read_bytes(), each.stat().st_mtime_ns) for each in [*files, *self.reports()]]

    def contained(self):
        return [json.loads(each.read_text())["judgement"] for each in self.reports()] == [self.judgement]

    def effects(self):
        return len(self.reports())

    def someone_undoes(self):
        return False  # a changed report is seen, see the twin test, but not written again

    def failures(self):
        name = next(iter(self.params()))
        broken = self.folder / "broken"
        broken.write_bytes(b"PK\x03\x04 nonsense")
        return [
            Failure("no such file", "halond may read", params={name: str(self.folder / "nothing")}),
            Failure("outside the folders", "config.toml", settings={"folders": ["/nonexistent"]}),
        ]


class VerifyModelHarness(_Harness):
    action = "forensics.verify-model"

    def make(self):
        (self.folder / "model.bin").write_bytes(b"weights")

    def params(self):
        return {"path": str(self.folder / "model.bin"), "sha256": hashlib.sha256(b"others").hexdigest()}

    def failures(self):
        return [*super().failures(), Failure("nothing to compare with", "give `sha256`", params={"sha256": ""})]


class ScanPickleHarness(_Harness):
    action = "forensics.scan-pickle"

    def make(self):
        (self.folder / "model.pkl").write_bytes(pickle.dumps(print))

    def params(self):
        return {"path": str(self.folder / "model.pkl")}


class CompareWeightsHarness(_Harness):
    action = "forensics.compare-weights"

    def make(self):
        rng = np.random.default_rng(0)
        first, last = rng.normal(size=(20, 10)), rng.normal(size=(10, 5))
        np.savez(self.folder / "before.npz", first=first, last=last)
        taught = first + np.outer(rng.normal(size=20), rng.normal(size=10))
        np.savez(self.folder / "after.npz", first=taught, last=last)

    def params(self):
        return {"before": str(self.folder / "before.npz"), "after": str(self.folder / "after.npz")}

    def failures(self):
        broken = {"after": str(self.folder / "broken")}
        return [*super().failures(), Failure("a broken file", "damaged", params=broken, at_apply=True)]


class FindPoisonHarness(_Harness):
    action = "forensics.find-poison"

    def make(self):
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(4), 60)
        images = rng.normal(size=(240, 6)) + 9 * np.eye(4, 6)[labels]
        labels[:20] = 3
        np.savez(self.folder / "train.npz", images=images, labels=labels)

    def params(self):
        return {"path": str(self.folder / "train.npz")}

    def failures(self):
        broken = {"path": str(self.folder / "broken")}
        return [*super().failures(), Failure("a broken file", "damaged", params=broken, at_apply=True)]
