"""What the studio's tests share: rows, a researcher, and a browser in which she has signed in."""

import pytest
from django.contrib.auth import get_user_model

from tests.studies.dashboards.studio_rows import Rows


@pytest.fixture
def rows(db):
    """Makes rows of catalog and listening."""
    return Rows()


@pytest.fixture
def ada(db):
    """A researcher with an account."""
    return get_user_model().objects.create_user("ada", password="notes-on-the-engine")


@pytest.fixture
def studio(client, ada):
    """A browser in which Ada has signed in."""
    client.force_login(ada)
    return client
