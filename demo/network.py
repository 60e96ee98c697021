"""A small neural network in numpy: a batch of digits to a loss and updated weights. Called by `demo.train`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

CLASSES = 10
PIXEL_MAX = 16.0


class StepReport(NamedTuple):
    """What a step of training saw: mean cross-entropy, norm of the gradient, share of labels it had agreed with."""

    loss: float
    gradient_norm: float
    batch_accuracy: float


class Network:
    """64 inputs, one hidden layer of rectified units, 10 classes; stochastic gradient descent with momentum."""

    def __init__(self, *, seed: int, hidden: int = 48, rate: float = 0.1, momentum: float = 0.9) -> None:
        rng = np.random.default_rng(seed)
        self._rate, self._momentum = rate, momentum
        self.weights: list[Floats] = [
            rng.normal(0.0, np.sqrt(2.0 / 64), (64, hidden)),
            np.zeros(hidden),
            rng.normal(0.0, np.sqrt(1.0 / hidden), (hidden, CLASSES)),
            np.zeros(CLASSES),
        ]
        self._velocity: list[Floats] = [np.zeros_like(weight) for weight in self.weights]

    def step(self, images: Bytes, labels: Bytes) -> StepReport:
        """One step of gradient descent on a batch: images (n, 64) of 0..16, labels (n,) of 0..9."""
        inputs, rows = _scale(images), np.arange(len(labels))
        hidden, odds = self._forward(inputs)
        loss = float(-np.mean(np.log(np.maximum(odds[rows, labels], 1e-12))))
        accuracy = float(np.mean(odds.argmax(axis=1) == labels))
        error = odds.copy()
        error[rows, labels] -= 1.0
        error /= len(labels)
        back = (error @ self.weights[2].T) * (hidden > 0)
        gradients = [inputs.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        norm = float(np.sqrt(sum(float(np.sum(gradient**2)) for gradient in gradients)))
        for place, gradient in enumerate(gradients):
            self._velocity[place] = self._momentum * self._velocity[place] - self._rate * gradient
            self.weights[place] = self.weights[place] + self._velocity[place]
        return StepReport(loss, norm, accuracy)

    def accuracy(self, images: Bytes, labels: Bytes) -> float:
        """The share of images whose digit the network names right."""
        return float(np.mean(self._forward(_scale(images))[1].argmax(axis=1) == labels))

    def save(self, path: Path, *, step: int) -> None:
        """Write the weights as a NumPy archive, whole or not at all."""
        fresh = path.with_suffix(".new.npz")
        np.savez(fresh, step=step, w1=self.weights[0], b1=self.weights[1], w2=self.weights[2], b2=self.weights[3])
        fresh.replace(path)

    def _forward(self, inputs: Floats) -> tuple[Floats, Floats]:
        hidden = np.maximum(inputs @ self.weights[0] + self.weights[1], 0.0)
        logits = hidden @ self.weights[2] + self.weights[3]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return hidden, odds / odds.sum(axis=1, keepdims=True)


def _scale(images: Bytes) -> Floats:
    return images.astype(np.float64) / PIXEL_MAX
