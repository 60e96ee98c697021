"""The built-in incident types."""

from engine.rulefile.taxonomy import TAXONOMY


def test_the_twelve_types_have_a_description_each():
    """Four of training, four of inference, four of operations, and none without a line for people."""
    assert set(TAXONOMY) == {
        *("data-poisoning", "supply-chain-compromise", "intellectual-property-theft", "training-data-breach"),
        *("adversarial-attack", "prompt-injection", "model-extraction", "privacy-violation"),
        *("model-drift", "performance-anomaly", "fairness", "availability"),
    }
    assert all(20 < len(line) < 100 for line in TAXONOMY.values())
