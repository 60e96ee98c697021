"""engine.intake.senders: proof by token or signature, and the rate per sender."""

import asyncio
import hashlib
import hmac

import pytest

from engine.clock import VirtualClock
from engine.config import SenderConfig
from engine.intake.senders import Sender


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    return str(path)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("Bearer s3cret", True),
        ("bearer s3cret", True),
        ("Bearer  s3cret", True),
        ("Bearer s3cre", False),
        ("Bearer s3crets", False),
        ("Bearer", False),
        ("Bearer \udcff", False),
        ("Basic s3cret", False),
        ("Basic a3NlcnZlOnMzY3JldA==", True),
        ("basic OnMzY3JldA==", True),
        ("Basic czNjcmV0", False),
        ("Basic a3NlcnZlOng=", False),
        ("Basic \udcff", False),
        ("Bearer a3NlcnZlOnMzY3JldA==", False),
        ("s3cret", False),
        ("", False),
        (None, False),
    ],
)
def test_only_the_whole_token_with_its_scheme_is_known(secret, header, known):
    """As a bearer token, or as the password of HTTP Basic; anything else, undecodable bytes included, is not."""
    sender = Sender(SenderConfig(name="a", token_file=secret), VirtualClock())
    assert sender.knows_token(header) is known


def test_only_the_hmac_of_this_very_body_is_known(secret):
    """In hex, in either case, with or without the name of the hash."""
    sender = Sender(SenderConfig(name="a", hmac_file=secret), VirtualClock())
    right = hmac.new(b"s3cret", b"body", hashlib.sha256).hexdigest()
    assert sender.knows_signature(f"sha256={right}", b"body")
    assert sender.knows_signature(right.upper(), b"body")
    for header in (None, "", "sha256=", right[:-1], f"sha512={right}", "\udcff"):
        assert not sender.knows_signature(header, b"body")
    assert not sender.knows_signature(right, b"bodies")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"format": "kserve", "signed": True}, "`kserve` tells things in headers, which nothing signs"),
    ],
)
def test_settings_that_do_not_fit_are_named_at_the_start(secret, settings, reason):
    """What would not be proved is refused before anyone sends."""
    proof = {"hmac_file": secret} if settings.pop("signed", False) else {"token_file": secret}
    with pytest.raises(ValueError, match=reason):
        Sender(SenderConfig(name="a", **proof, **settings), VirtualClock())


def test_a_rate_lets_a_burst_through_and_then_so_many_a_second(secret):
    """Past the burst each request waits for its share of a second; what is not used fills up to the burst again."""

    async def scenario():
        clock = VirtualClock()
        sender = Sender(SenderConfig(name="a", token_file=secret, per_second_max=4, burst_max=3), clock)
        assert [sender.wait_s() for _ in range(4)] == [0, 0, 0, 0.25]
        await clock.advance_s(0.25)
        assert [sender.wait_s() for _ in range(2)] == [0, 0.25]
        await clock.advance_s(3_600)
        assert [sender.wait_s() for _ in range(4)] == [0, 0, 0, 0.25]

    asyncio.run(scenario())


@pytest.mark.parametrize("both", [True, False])
def test_a_sender_has_exactly_one_secret(secret, both):
    """An open door is refused at the start, and so is a choice that the config leaves open."""
    files = {"token_file": secret, "hmac_file": secret} if both else {}
    with pytest.raises(ValueError, match="needs `token_file`, `hmac_file` or" if not both else "goes with neither"):
        Sender(SenderConfig(name="a", **files), VirtualClock())
