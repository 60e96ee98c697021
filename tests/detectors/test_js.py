"""engine/detectors/js.py: what it says; that it finds stands in test_distribution.py beside its siblings."""

from engine.detectors.js import Js, JsParams
from tests.support.detecting import observe


def test_the_finding_says_how_far_and_where():
    """Value and bound are effect sizes, and the sentence names the part that moved most."""
    detector = Js(JsParams(reference=100, window=50))
    values = [float(place % 10) for place in range(150)] + [20.0 + place % 10 for place in range(50)]
    findings = [detector.update(observe(place, value, of=value)) for place, value in enumerate(values)]
    finding = [each for each in findings if each is not None][-1]
    assert finding.value > finding.threshold == detector.params.above
    assert finding.detail.startswith("js ")
    assert "of the last 50 values to the 100 first" in finding.detail
