"""`halon check --live`: a config and its rules held against the machine, every finding at once, nothing changed."""

from engine.survey.whole import survey

__all__ = ["survey"]
