"""Signals to incidents: `match` joins them per (rule, key), `state` remembers, `run` opens and feeds incidents."""

from engine.correlate.joins import Joins as Joins
from engine.correlate.run import Correlated as Correlated
from engine.correlate.run import Correlator as Correlator
from engine.correlate.run import Fired as Fired
from engine.correlate.state import CorrelateState as CorrelateState
