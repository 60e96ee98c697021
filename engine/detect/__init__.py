"""An event to signals and faults: the index finds who listens, the state holds the windows per (signal, key)."""

from engine.detect.index import RulesIndex as RulesIndex
from engine.detect.judge import NOTHING as NOTHING
from engine.detect.judge import Detected as Detected
from engine.detect.judge import detect as detect
from engine.detect.judge import fire_timer as fire_timer
from engine.detect.state import DetectState as DetectState
