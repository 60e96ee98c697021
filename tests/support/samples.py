"""The samples of real producers in tests/intake/producers/samples, and what they become."""

from pathlib import Path

import msgspec
import tomli

from engine.cloudevents import Decoded, Event, decode_event
from engine.intake.producers.contract import Message, produce
from engine.intake.producers.table import PRODUCERS
from engine.model import Struct

FOLDER = Path(__file__).resolve().parent.parent / "intake/producers/samples"
ARRIVED_US = 1_800_000_000_000_000
SOURCE = "/http/halon"


class Sample(Struct, frozen=True):
    """One message: `of` names the project and version whose format it follows; `expect` has one CloudEvent per line."""

    of: str
    content_type: str
    body: str
    expect: str
    headers: dict[str, str] = {}

    def message(self, **other):
        given = {"body": self.body.encode(), "content_type": self.content_type, "headers": self.headers, **other}
        return Message(**{"source": SOURCE, "arrived_us": ARRIVED_US, **given})

    def expected(self) -> list[Event]:
        events = [decode_event(line.encode(), arrived_us=0) for line in self.expect.splitlines() if line]
        return [one for [one] in events]


def read_samples() -> dict[str, Sample]:
    """All samples by the name of their file."""
    return {
        path.stem: msgspec.convert(tomli.loads(path.read_text(encoding="utf-8")), Sample)
        for path in sorted(FOLDER.glob("*.toml"))
    }


SAMPLES = read_samples()


def producer_of(sample: str):
    """`kserve-v2` is a sample of `kserve`."""
    return PRODUCERS[max((name for name in PRODUCERS if f"{sample}-".startswith(f"{name}-")), key=len)]


def converted(sample: str, *, events_max=1_000, **other) -> Decoded:
    return produce(producer_of(sample), SAMPLES[sample].message(**other), events_max=events_max)
