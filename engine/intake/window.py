"""What a door has received and not yet acknowledged: bounds it, and gives acknowledgements back in order of receipt.

MQTT wants the PUBACKs of a connection in the order of its PUBLISHes (3.1.1, 4.6), and rumqttd ends a connection that
breaks it; the pipeline may settle in any order. A new connection makes all older packet ids void.
"""

from collections import deque

from engine.intake.contract import TOKENS


class Window:
    """Messages in flight, of at most `count_max` in number and about `bytes_max` in size.

    It can be past `bytes_max` by one message, since the size is only known once that message is read.
    """

    def __init__(self, *, count_max: int, bytes_max: int) -> None:
        self.count_max = count_max
        self.bytes_max = bytes_max
        self.in_flight_bytes = 0
        self.stale_total = 0
        self._connection = 0
        self._held: dict[int, tuple[int, int, int]] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._settled: set[int] = set()

    @property
    def in_flight(self) -> int:
        """How many messages are received and not settled, those of earlier connections included."""
        return len(self._held)

    @property
    def full(self) -> bool:
        """Whether nothing more may be read."""
        return len(self._held) >= self.count_max or self.in_flight_bytes >= self.bytes_max

    @property
    def eased(self) -> bool:
        """Whether reading may begin again: below three quarters, so that it does not stop and go at every message."""
        return len(self._held) <= self.count_max * 3 // 4 and self.in_flight_bytes <= self.bytes_max * 3 // 4

    def begin_connection(self) -> None:
        """Packet ids of before are void from now on; what they brought stays in flight until it is settled."""
        self._connection += 1
        self._order.clear()
        self._settled.clear()

    def add(self, packet_id: int, *, size_bytes: int) -> int:
        """A message came in; its token. `packet_id` 0 means that none is asked back (QoS 0)."""
        token = next(TOKENS)
        self._held[token] = (self._connection, packet_id, size_bytes)
        self.in_flight_bytes += size_bytes
        if packet_id:
            self._order.append((token, packet_id))
        return token

    def settle(self, token: int) -> list[int]:
        """This message is done; the packet ids that may be acknowledged now, in order. Unknown tokens give none."""
        held = self._held.pop(token, None)
        if held is None:
            return []
        connection, packet_id, size_bytes = held
        self.in_flight_bytes -= size_bytes
        if not packet_id:
            return []
        if connection != self._connection:
            self.stale_total += 1
            return []
        self._settled.add(token)
        ready: list[int] = []
        while self._order and self._order[0][0] in self._settled:
            first, first_id = self._order.popleft()
            self._settled.remove(first)
            ready.append(first_id)
        return ready
