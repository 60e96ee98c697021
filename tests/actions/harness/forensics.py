"""Real files to examine: a model with its hash, pickles, checkpoints, a training set."""

import hashlib
import json
import pickle
from contextlib import contextmanager

import msgspec
import numpy as np

from engine.forensics.samples import list_samples
from engine.forensics.tensors import TensorFile
from tests.actions.harness.base import Failure, Harness
from tests.support.signing import signed_model


class _Harness(Harness):
    """What the examinations share: the report in the evidence is the effect."""

    judgement = "finding"

    @contextmanager
    def fresh(self):
        self.folder = self.tmp / f"evidence-{next(self.numbers)}"
        self.folder.mkdir()
        (self.folder / "broken").write_bytes(b"PK\x03\x04 nonsense")
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


class _ArraysHarness(_Harness):
    """What is examined are arrays in `known.npz` and `asked.npz`; a broken file is told as such."""

    def make(self):
        rng = np.random.default_rng(0)
        for name, arrays in self.arrays(rng).items():
            np.savez(self.folder / f"{name}.npz", **arrays)

    def file(self, name):
        return str(self.folder / f"{name}.npz")

    def failures(self):
        name = list(self.params())[-1]
        broken = {name: str(self.folder / "broken")}
        return [*super().failures(), Failure("a broken file", "damaged", params=broken, at_apply=True)]


class CompareActivationsHarness(_ArraysHarness):
    action = "forensics.compare-activations"

    def arrays(self, rng):
        return {"known": {"layer": rng.normal(size=(400, 6))}, "asked": {"layer": rng.normal(6, 1, size=(400, 6))}}

    def params(self):
        return {"clean": self.file("known"), "suspect": self.file("asked")}


class CheckGradientsHarness(_ArraysHarness):
    action = "forensics.check-gradients"

    def arrays(self, rng):
        steady = 1 + 0.05 * rng.random(100)
        return {"known": {"first": steady * np.where(np.arange(100) < 60, 1, 1_000), "last": steady}}

    def params(self):
        return {"path": self.file("known")}


class FindAdversarialHarness(_ArraysHarness):
    action = "forensics.find-adversarial"

    def arrays(self, rng):
        labels = np.repeat(np.arange(4), 60)
        near = rng.normal(size=(240, 6)) + 9 * np.eye(4, 6)[labels]
        return {"known": {"features": near, "labels": labels}, "asked": {"features": near, "labels": (labels + 1) % 4}}

    def params(self):
        return {"reference": self.file("known"), "batch": self.file("asked")}


class CompareSamplesHarness(_ArraysHarness):
    action = "forensics.compare-samples"

    def arrays(self, rng):
        images = rng.normal(size=(20, 6))
        return {
            "known": {"images": images, "labels": np.arange(20)},
            "asked": {"images": images[:19], "labels": np.arange(19)},
        }

    def make(self):
        super().make()
        listed = list_samples(TensorFile(self.folder / "known.npz"))
        (self.folder / "list.json").write_bytes(msgspec.json.encode(listed))

    def params(self):
        return {"against": str(self.folder / "list.json"), "path": self.file("asked")}


class FindWrongLabelsHarness(FindPoisonHarness):
    action = "forensics.find-wrong-labels"

    def contained(self):
        """The report is there, and beside it what a training job should leave out: mislabelled samples, no other."""
        if not super().contained():
            return False
        left = json.loads(self.reports()[0].with_name("leave-out.json").read_text())
        return set() < set(left["leave_out"]) <= set(range(20))


class ScanPrivacyHarness(_Harness):
    action = "forensics.scan-privacy"

    def make(self):
        (self.folder / "out.jsonl").write_text('{"text": "ask ann@example.org"}\n{"text": "the lion sleeps"}\n')

    def params(self):
        return {"path": str(self.folder / "out.jsonl")}

    def hidden(self):
        return ["ann@example.org"]

    def failures(self):
        nothing = {"kinds": [], "canaries": ""}
        return [*super().failures(), Failure("nothing to look for", "canaries", params=nothing, at_apply=True)]


class AuditMembershipHarness(_ArraysHarness):
    action = "forensics.audit-membership"

    def arrays(self, rng):
        return {"known": {"members": rng.random(200), "strangers": 0.5 + rng.random(200)}}

    def params(self):
        return {"path": self.file("known")}


class MeasureBiasHarness(_ArraysHarness):
    action = "forensics.measure-bias"

    def arrays(self, rng):
        groups = np.repeat(["a", "b"], 200)
        return {"known": {"truth": np.tile([0, 1], 200), "decided": (groups == "a").astype(np.int64), "groups": groups}}

    def params(self):
        return {"path": self.file("known")}


class ValidateHarness(_ArraysHarness):
    action = "model.validate"
    judgement = "clean"

    def arrays(self, rng):
        truth = np.tile([0, 1], 50)
        return {
            "known": {"truth": truth, "decided": truth},
            "asked": {"truth": truth, "decided": np.where(np.arange(100) < 30, 1 - truth, truth)},
        }

    def params(self):
        return {"accuracy_min": 0.9, "probe": self.file("known")}

    def failures(self):
        missed, broken = {"probe": self.file("asked")}, {"probe": str(self.folder / "broken")}
        return [
            Failure("no such file", "halond may read", params={"probe": str(self.folder / "nothing")}),
            Failure("a broken file", "damaged", params=broken, at_apply=True),
            Failure("too few right answers", "not passed: accuracy 0.7", params=missed, at_apply=True),
            Failure("nothing asked", "must ask something", params={"accuracy_min": None}),
        ]


class VerifySignatureHarness(_Harness):
    action = "forensics.verify-signature"

    def make(self):
        self.signed = signed_model(self.folder)
        (self.signed.model / "weights.npz").write_bytes(b"others")

    def params(self):
        return {
            "path": str(self.signed.model),
            "signature": str(self.signed.by_key),
            "public_key_file": str(self.signed.key),
        }

    def failures(self):
        broken = {"signature": str(self.folder / "broken")}
        return [
            *super().failures(),
            Failure("no signature", "no signature bundle", params=broken, at_apply=True),
            Failure("nobody to be signed by", "give `public_key_file`", params={"public_key_file": ""}),
        ]
