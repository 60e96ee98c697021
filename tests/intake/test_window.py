"""engine.intake.window: the bound on what is in flight, and the order of acknowledgements."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.intake.window import Window


def test_acknowledgements_come_in_the_order_of_receipt():
    """A message settled early waits for those before it; then all that are due come at once."""
    window = Window(count_max=10, bytes_max=100)
    first, second, third = (window.add(packet_id, size_bytes=1) for packet_id in (7, 8, 9))
    assert window.settle(third) == []
    assert window.settle(first) == [7]
    assert window.settle(second) == [8, 9]
    assert window.in_flight == 0


def test_a_token_settles_once():
    """Unknown and repeated tokens give nothing and change nothing."""
    window = Window(count_max=10, bytes_max=100)
    token = window.add(1, size_bytes=5)
    assert window.settle(token) == [1]
    assert window.settle(token) == []
    assert window.settle(999) == []
    assert (window.in_flight, window.in_flight_bytes) == (0, 0)


def test_messages_of_qos_0_hold_their_room_but_are_not_acknowledged():
    """Packet id 0 asks for no acknowledgement and keeps none waiting."""
    window = Window(count_max=10, bytes_max=100)
    plain, asked = window.add(0, size_bytes=5), window.add(3, size_bytes=5)
    assert window.in_flight == 2
    assert window.settle(asked) == [3]
    assert window.settle(plain) == []
    assert window.stale_total == 0


def test_a_new_connection_makes_older_packet_ids_void():
    """Old messages stay in flight until settled, then count as stale; new ones with the same ids are their own."""
    window = Window(count_max=10, bytes_max=100)
    old = [window.add(packet_id, size_bytes=1) for packet_id in (1, 2)]
    assert window.settle(old[1]) == []
    window.begin_connection()
    new = [window.add(packet_id, size_bytes=1) for packet_id in (1, 2)]
    assert window.in_flight == 3
    assert window.settle(old[0]) == []
    assert window.stale_total == 1
    assert window.settle(new[0]) == [1]
    assert window.settle(new[1]) == [2]


def test_it_is_full_by_number_or_by_bytes_and_eases_below_three_quarters():
    """Between full and eased nothing changes, so that reading does not stop and go at each message."""
    window = Window(count_max=4, bytes_max=100)
    tokens = [window.add(n, size_bytes=10) for n in range(1, 5)]
    assert (window.full, window.eased) == (True, False)
    window.settle(tokens[0])
    assert (window.full, window.eased) == (False, True)
    window.add(9, size_bytes=80)
    assert (window.full, window.eased) == (True, False)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["add", "add0", "settle", "reconnect"]), max_size=60), st.randoms(use_true_random=False)
)
def test_any_order_of_settling_acknowledges_each_id_of_a_connection_once_and_in_order(steps, random):
    """What is acknowledged is always a prefix of what the present connection brought, and only of settled messages."""
    window = Window(count_max=1_000, bytes_max=1_000_000)
    held, brought, settled, acknowledged, next_id = [], [], set(), [], 0
    for step in steps:
        match step:
            case "add" | "add0":
                next_id += 1
                token = window.add(next_id if step == "add" else 0, size_bytes=3)
                held.append(token)
                if step == "add":
                    brought.append((token, next_id))
            case "settle" if held:
                token = held.pop(random.randrange(len(held)))
                settled.add(token)
                acknowledged += window.settle(token)
            case "reconnect":
                window.begin_connection()
                brought, acknowledged = [], []
        due = []
        for token, packet_id in brought:
            if token not in settled:
                break
            due.append(packet_id)
        assert acknowledged == due
        assert window.in_flight == len(held)
        assert window.in_flight_bytes == 3 * len(held)
