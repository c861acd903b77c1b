"""A channel whose token the vault can decrypt; no database is needed."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from tests.worker.providers.scripted import TOKEN
from worker import settings, vault
from worker.store.channels import ChannelRow


@pytest.fixture
def keys(monkeypatch):
    """A key for the vault; these tests need no database."""
    monkeypatch.setenv("CONTACTSYNC_SECRET_KEYS", Fernet.generate_key().decode())
    settings.reload()
    yield
    monkeypatch.undo()
    settings.reload()


@pytest.fixture
def channel(keys):
    return ChannelRow(
        organization_id=uuid4(),
        id=uuid4(),
        platform="telegram",
        name="Support bot",
        api_url="https://api.telegram.org",
        options={},
        token=vault.seal(TOKEN),
        created_at=datetime.now(UTC),
    )
