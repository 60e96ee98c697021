"""demo/network.py: real learning on the shipped digits."""

import hashlib

import numpy as np

from demo.network import Network
from demo.site import DATA


def digits():
    with np.load(DATA, allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


def test_the_shipped_digits_are_those_of_the_licence_file():
    """The bytes of images and labels have the SHA-256 that demo/data/LICENSE.md names."""
    images, labels = digits()
    assert images.shape == (1_797, 64)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert digest in DATA.with_name("LICENSE.md").read_text()


def test_the_gradient_is_that_of_the_loss():
    """One step moves each weight by the numerical derivative of the loss."""
    images, labels = digits()
    images, labels = images[:16], labels[:16]
    before = Network(seed=3, rate=1.0, momentum=0.0)
    after = Network(seed=3, rate=1.0, momentum=0.0)
    after.step(images, labels)
    for layer, place in ((0, (10, 5)), (1, (7,)), (2, (3, 4)), (3, (9,))):
        moved = before.weights[layer][place] - after.weights[layer][place]
        slope = (loss_with(layer, place, 1e-5) - loss_with(layer, place, -1e-5)) / 2e-5
        assert abs(moved - slope) < 1e-6


def loss_with(layer, place, change):
    images, labels = digits()
    network = Network(seed=3, rate=1.0, momentum=0.0)
    network.weights[layer][place] += change
    return network.step(images[:16], labels[:16]).loss


def test_the_network_learns_to_read_digits_it_never_saw():
    """After 300 steps the loss has fallen to a tenth, and nine of ten held-back digits are named right."""
    images, labels = digits()
    network, rng = Network(seed=1, rate=0.05), np.random.default_rng(1)
    losses = []
    for _ in range(300):
        batch = rng.integers(0, 1_500, 32)
        losses.append(network.step(images[batch], labels[batch]).loss)
    assert np.mean(losses[-20:]) < losses[0] / 10
    assert network.accuracy(images[1_500:], labels[1_500:]) > 0.9


def test_a_checkpoint_holds_the_weights(tmp_path):
    """What `save` writes is what the network has, and nothing half-written lies beside it."""
    network = Network(seed=1)
    network.save(tmp_path / "c.npz", step=7)
    with np.load(tmp_path / "c.npz") as archive:
        assert archive["step"] == 7
        assert np.array_equal(archive["w1"], network.weights[0])
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
