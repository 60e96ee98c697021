"""Findings are kept up to a limit."""

from engine.diagnostics import Diagnostic, Level, Span, error
from engine.rulefile.findings import FINDINGS_MAX, Findings


def test_findings_are_sorted_and_errors_counted():
    """They come out by place, whatever the order they were found in."""
    findings = Findings()
    late = error("H004", "late", Span(path="b", line=1, column=1))
    early = Diagnostic(code="H033", level=Level.WARNING, title="early", span=Span(path="a", line=9, column=1))
    findings.add(late, early)
    assert (findings.all(), findings.errors(), findings.full) == ([early, late], 1, False)


def test_past_the_limit_the_last_finding_says_so():
    """More than the limit are dropped and counted as too many."""
    findings = Findings()
    findings.extend(error("H004", str(number)) for number in range(FINDINGS_MAX + 5))
    assert findings.full
    assert (len(findings.all()), findings.all()[-1].code) == (FINDINGS_MAX + 1, "H003")
