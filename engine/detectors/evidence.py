"""The newest event ids behind a finding, bounded in number and length; kept by the window methods of this folder."""

from collections.abc import Iterable

IDS_MAX = 10
"""Event ids kept for a finding; the oldest goes first."""
ID_CHARS_MAX = 128
"""A longer id is cut."""
EVIDENCE_BYTES_MAX = IDS_MAX * (4 * ID_CHARS_MAX + 5) + 5
"""Of the ids in msgpack."""


def note(ids: list[str], event_id: str) -> None:
    """Take an event id in; the oldest goes when there are too many."""
    if len(ids) == IDS_MAX:
        del ids[0]
    ids.append(event_id if len(event_id) <= ID_CHARS_MAX else event_id[:ID_CHARS_MAX])


class Evidence:
    """Ids of the newest events, in order of arrival."""

    __slots__ = ("ids",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids = list(ids)[-IDS_MAX:]

    def add(self, event_id: str) -> None:
        """Take one in; the oldest goes when there are too many."""
        note(self.ids, event_id)

    def take(self, most: int) -> tuple[str, ...]:
        """The newest `most` of them, oldest first."""
        return tuple(self.ids[-most:])
