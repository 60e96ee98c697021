"""`halon forensics` on real files: exit codes, tables, JSON."""

import hashlib
import json
import pickle
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.support.digits import IMAGES, LABELS, backdoored, flipped, train
from tests.support.signing import signed_model


def halon(*args):
    return CliRunner().invoke(main, ["forensics", *map(str, args)], prog_name="halon")


@pytest.fixture
def files(tmp_path):
    """One clean and one bad input for each command: name to (clean arguments, arguments with a finding)."""
    rng = np.random.default_rng(0)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/shard").write_bytes(b"weights")
    assert halon("manifest", tmp_path / "model", "--out", tmp_path / "good.json").exit_code == 0
    (tmp_path / "model/other").write_bytes(b"x")
    assert halon("manifest", tmp_path / "model", "--out", tmp_path / "bad.json").exit_code == 0
    (tmp_path / "model/other").unlink()
    (tmp_path / "good.pkl").write_bytes(pickle.dumps([1]))
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n.")
    network = train(IMAGES, LABELS, seed=0, steps=300)
    network.save(tmp_path / "before.npz", step=1)
    train(IMAGES, LABELS, seed=1, steps=200, start=network).save(tmp_path / "good-weights.npz", step=2)
    images, labels, _ = backdoored(0.2, target=3, seed=0)
    train(images, labels, seed=1, steps=200, start=network).save(tmp_path / "bad-weights.npz", step=2)
    np.savez(tmp_path / "good-set.npz", images=IMAGES, labels=LABELS)
    np.savez(tmp_path / "bad-set.npz", images=images, labels=labels)
    np.savez(tmp_path / "flipped-set.npz", images=IMAGES, labels=flipped(0.1, seed=0)[0])
    assert halon("samples", tmp_path / "good-set.npz", "--out", tmp_path / "samples.json").exit_code == 0
    layer = rng.normal(size=(400, 6))
    np.savez(tmp_path / "clean-layers.npz", hidden=layer[:200])
    np.savez(tmp_path / "good-layers.npz", hidden=layer[200:])
    np.savez(tmp_path / "bad-layers.npz", hidden=layer[200:] + 9)
    norms = np.exp(rng.normal(0, 0.2, 200))
    np.savez(tmp_path / "good-norms.npz", w1=norms)
    np.savez(tmp_path / "bad-norms.npz", w1=np.where(np.arange(200) > 90, norms * 1e-6, norms))
    np.savez(tmp_path / "wrong.npz", images=IMAGES[:300], labels=(LABELS[:300] + 1) % 10)
    (tmp_path / "canaries").write_text("the heron sings at 4711\n")
    (tmp_path / "good.txt").write_text("nothing\n")
    (tmp_path / "bad.txt").write_text("so: The heron sings at 4711.\n")
    loss = rng.exponential(size=300)
    np.savez(tmp_path / "good-losses.npz", members=loss[:150], strangers=loss[150:])
    np.savez(tmp_path / "bad-losses.npz", members=loss[:150] / 9, strangers=loss[150:])
    truth, groups = rng.integers(0, 2, 600), np.repeat([0, 1], 300)
    np.savez(tmp_path / "good-bias.npz", truth=truth, decided=truth, groups=groups)
    np.savez(tmp_path / "bad-bias.npz", truth=truth, decided=truth * groups, groups=groups)
    signed = signed_model(tmp_path / "signed")
    keys = ["--public-key", signed.key], ["--public-key", signed.other_key]
    at = {each.name: each for each in tmp_path.iterdir()}
    digest = hashlib.sha256(b"weights").hexdigest()
    return {
        "integrity": ([at["model"] / "shard", "--sha256", digest], [at["model"] / "shard", "--sha256", "0" * 64]),
        "manifest": ([at["model"], "--against", at["good.json"]], [at["model"], "--against", at["bad.json"]]),
        "pickle": ([at["good.pkl"]], [at["bad.pkl"]]),
        "weights": ([at["before.npz"], at["good-weights.npz"]], [at["before.npz"], at["bad-weights.npz"]]),
        "activations": (
            [at["clean-layers.npz"], at["good-layers.npz"]],
            [at["clean-layers.npz"], at["bad-layers.npz"]],
        ),
        "gradients": ([at["good-norms.npz"]], [at["bad-norms.npz"]]),
        "adversarial": ([at["good-set.npz"], at["good-set.npz"]], [at["good-set.npz"], at["wrong.npz"]]),
        "samples": (
            [at["good-set.npz"], "--against", at["samples.json"]],
            [at["bad-set.npz"], "--against", at["samples.json"]],
        ),
        "poison": ([at["good-set.npz"]], [at["bad-set.npz"], "--out", tmp_path / "leave-out.json"]),
        "labels": ([at["good-set.npz"]], [at["flipped-set.npz"]]),
        "privacy": ([at["good.txt"], "--canaries", at["canaries"]], [at["bad.txt"], "--canaries", at["canaries"]]),
        "membership": ([at["good-losses.npz"]], [at["bad-losses.npz"]]),
        "bias": ([at["good-bias.npz"]], [at["bad-bias.npz"]]),
        "signature": tuple([signed.model, signed.by_key, *key] for key in keys),
        "validate": tuple([at[f"{each}-bias.npz"], "--accuracy-min", "0.9"] for each in ("good", "bad")),
    }


def test_every_command_tells_clean_from_a_finding_and_from_what_it_can_not_read(files, tmp_path):
    """Exit 0, 1 and 1, with the judgement in JSON and in words; no command is left out."""
    from engine.cli.forensics import forensics  # noqa: PLC0415  # the group, to see that none is left out

    assert set(files) == set(forensics.commands)
    for name, (clean, bad) in files.items():
        good, found = halon(name, *clean, "--json"), halon(name, *bad, "--json")
        assert (good.exit_code, json.loads(good.stdout)["judgement"]) == (0, "clean"), (name, good.output)
        assert (found.exit_code, json.loads(found.stdout)["judgement"]) == (1, "finding"), (name, found.output)
        (tmp_path / "leave-out.json").unlink(missing_ok=True)
        shown = halon(name, *bad)
        assert shown.exit_code == 1
        assert shown.output.startswith("finding: "), shown.output
        lost = halon(name, *[each if str(each) != str(bad[0]) else tmp_path / "nowhere" for each in bad], "--json")
        assert lost.exit_code == 1, (name, lost.output)
        assert json.loads(lost.stdout)["judgement"] == "unreadable", name


def test_the_samples_to_leave_out_are_written_for_a_training_job(files, tmp_path):
    """Places in order; a file that is there is never overwritten."""
    assert halon("poison", *files["poison"][1]).exit_code == 1
    left_out = json.loads((tmp_path / "leave-out.json").read_text())["leave_out"]
    assert left_out == sorted(left_out)
    assert len(left_out) >= 300
    again = halon("poison", *files["poison"][1])
    assert again.exit_code == 2
    assert "exists; name another file" in again.output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["integrity", "x", "--sha256", "12"], "64 hex digits"),
        (["manifest", "x", "--root", "00"], "--against"),
        (["privacy", "x", "--kind", "names"], "--kind"),
    ],
)
def test_wrong_usage_is_exit_code_2(args, says):
    """The message says what is right."""
    result = halon(*args)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("technique", ["weights", "gradients", "poison", "labels", "membership"])
def test_a_report_is_drawn(tmp_path, technique, suffix):
    """By matplotlib, in the form that the name asks for; the report and the exit code stay what they are."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 60)
    near = rng.normal(size=(240, 6)) + 9 * np.eye(4, 6)[labels]
    labels[:20] = 3
    steady = 1 + 0.05 * rng.random(100)
    first, last = rng.normal(size=(20, 10)), rng.normal(size=(10, 5))
    files = {
        "a.npz": {"first": first, "last": last},
        "b.npz": {"first": first + np.outer(rng.normal(size=20), rng.normal(size=10)), "last": last},
        "n.npz": {"first": steady * np.where(np.arange(100) < 60, 1, 1_000), "last": steady},
        "d.npz": {"images": near, "labels": labels},
        "l.npz": {"members": rng.random(200), "strangers": 0.5 + rng.random(200)},
    }
    for name, arrays in files.items():
        np.savez(tmp_path / name, **arrays)
    of = {"weights": ["a.npz", "b.npz"], "gradients": ["n.npz"], "membership": ["l.npz"]}.get(technique, ["d.npz"])
    drawn = tmp_path / f"drawn{suffix}"
    result = halon(technique, *[str(tmp_path / name) for name in of], "--plot", str(drawn))
    assert result.exit_code == 1, result.output
    assert f"drew {drawn}".replace("\n", "") in result.output.replace("\n", "")
    assert drawn.read_bytes().startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


def test_what_can_not_be_drawn_is_said_before_anything_is_examined(tmp_path, monkeypatch):
    """A name of another form; a library that is not there."""
    result = halon("weights", "x", "y", "--plot", "z.gif")
    assert (result.exit_code, ".png or .svg" in result.output) == (2, True)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = halon("weights", "x", "y", "--plot", "z.png")
    assert (result.exit_code, "halon[plot]" in result.output) == (1, True)


def test_a_signature_is_held_against_its_key(tmp_path):
    """Clean: 0; changed: 1; neither key nor chain: 2."""
    signed = signed_model(tmp_path)
    args = ["signature", str(signed.model), str(signed.by_key)]
    assert halon(*args, "--public-key", str(signed.key)).exit_code == 0
    (signed.model / "weights.npz").write_bytes(b"others")
    assert halon(*args, "--public-key", str(signed.key)).exit_code == 1
    assert halon(*args).exit_code == 2
