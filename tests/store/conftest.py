"""What tests of the store share."""

import pytest

from tests.support.databases import opened


@pytest.fixture
def connection(tmp_path):
    """A fresh database."""
    made = opened(tmp_path / "halon.db")
    yield made
    made.close()
