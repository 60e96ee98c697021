"""demo/site.py: the stage is private, complete and honest about what is poisoned."""

import hashlib
import stat

import numpy as np

from demo import site
from engine.configfile import load_config


def test_the_stage_is_private_and_its_token_is_known_by_hash_only(tmp_path):
    """The token file has mode 0600, and the data server's list holds its SHA-256."""
    stage = site.prepare(tmp_path / "demo")
    assert stat.S_IMODE(stage.token_file.stat().st_mode) == 0o600
    token = stage.token_file.read_text().strip()
    assert stage.accepted.read_text().split() == [hashlib.sha256(token.encode()).hexdigest()]
    assert token not in stage.accepted.read_text()


def test_the_probe_is_kept_apart_from_the_stored_data(tmp_path):
    """Probe and store together are the whole data set, and the attack can't reach the probe."""
    stage = site.prepare(tmp_path / "demo")
    with np.load(stage.run / "probe.npz") as archive:
        probe = len(archive["labels"])
        before = archive["labels"].copy()
    with np.load(stage.dataset) as archive:
        assert probe + len(archive["labels"]) == 1_797
    site.poison(stage)
    with np.load(stage.run / "probe.npz") as archive:
        assert np.array_equal(before, archive["labels"])


def test_poisoning_changes_the_share_of_labels_that_it_names_and_no_image(tmp_path):
    """Every chosen label becomes another digit."""
    stage = site.prepare(tmp_path / "demo")
    with np.load(stage.dataset) as archive:
        images, labels = archive["images"], archive["labels"]
    changed = site.poison(stage)
    with np.load(stage.dataset) as archive:
        assert np.array_equal(images, archive["images"])
        assert np.count_nonzero(labels != archive["labels"]) == changed == round(site.POISONED_SHARE * len(labels))
        assert archive["labels"].max() <= 9


def test_the_daemons_config_loads(tmp_path):
    """The config that is written for the daemon is one without a mistake, with the broker and the rules in it."""
    stage = site.prepare(tmp_path / "demo")
    site.write_halon_config(stage, rules=tmp_path, mqtt_port=1_899)
    config, found = load_config(stage.halon_config)
    assert found == []
    assert config is not None
    assert (config.broker.enabled, config.broker.port, config.mqtt[0].port) == (True, 1_899, 1_899)
    assert config.rules.paths == (str(tmp_path),)
