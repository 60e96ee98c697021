"""`hash`: a digest of a file to a finding, where it is not the expected one; found by name in `table.py`."""

import re
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, StateDetector
from engine.model import Finding

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
NAME_CHARS_MAX = 200


class HashParams(Params, frozen=True):
    """`sha256`: the digest expected, in hex; or `manifest`: digests by name; `unlisted`: a name that it has not counts.

    With neither, the first digest of each key is the expected one.
    """

    sha256: Sha256 | None = None
    manifest: Annotated[dict[str, Sha256], Meta(max_length=100_000)] = {}
    unlisted: bool = True

    def __post_init__(self) -> None:
        if self.sha256 is not None and self.manifest:
            raise ValueError("`sha256` and `manifest` are two ways to say it; leave one out")


class _State(State):
    first: str = ""


class Hash(StateDetector[HashParams]):
    """A file that is not what it should be: its SHA-256 differs from the expected one.

    `of` is the digest as 64 hex digits (a `sha256:` before them is allowed), or `{"name": …, "sha256": …}` for a
    manifest. What is no digest at all is a finding too: an artefact whose digest can't be told was not verified.

    Parameters: `sha256` (hex), `manifest` (table of name to hex), `unlisted` (whether a name that the manifest has not
    is a finding, true). With neither digest nor manifest, the first one seen is kept and any other is a finding.
    False alarms: none by chance (2^-256); each release that was not entered in the manifest is one.
    Use `first-seen` for who touched it.
    Source: FIPS 180-4; The Update Framework (Samuel et al. 2010), CCS.

    >>> from engine.detectors.contract import Observation
    >>> detector = Hash(HashParams(manifest={"model.bin": "a" * 64}))
    >>> seen = [("model.bin", "a" * 64), ("model.bin", "b" * 64), ("new.bin", "c" * 64)]
    >>> given = [Observation(0, "e", "s", of={"name": name, "sha256": digest}) for name, digest in seen]
    >>> [finding and finding.detail for finding in map(detector.update, given)]
    [None, 'model.bin has bbbbbbbbbbbb…, aaaaaaaaaaaa… is expected', 'new.bin is not in the manifest']
    """

    method = "hash"
    params_type = HashParams
    state_type = _State
    needs_of = True

    def restored(self) -> None:
        if self.state.first and _digest(self.state.first) is None:
            raise ValueError("the digest kept is none")

    def update(self, observation: Observation) -> Finding | None:
        of, name, given = observation.of, "the file", observation.of
        if isinstance(of, dict):
            given = of.get("sha256")
            if isinstance(told := of.get("name"), str):
                name = told[:NAME_CHARS_MAX]
        digest, expected = _digest(given), self.params.sha256 or self.state.first
        if digest is None:
            return Finding(detail=f"{name} has no SHA-256 that can be compared", event_ids=(observation.event_id,))
        if self.params.manifest:
            listed = self.params.manifest.get(name)
            if listed is None:
                unlisted = Finding(detail=f"{name} is not in the manifest", event_ids=(observation.event_id,))
                return unlisted if self.params.unlisted else None
            expected = listed
        if not expected:
            self.state.first = expected = digest
        if digest == expected:
            return None
        detail = f"{name} has {digest[:12]}…, {expected[:12]}… is expected"
        return Finding(detail=detail, event_ids=(observation.event_id,))

    def bytes_max(self) -> int:
        return 96


def _digest(given: object) -> str | None:
    if not isinstance(given, str):
        return None
    digest = given.strip().lower().removeprefix("sha256:")
    return digest if re.fullmatch("[0-9a-f]{64}", digest) else None
