"""The whole service, started once for these tests as an operator starts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.callback_receiver import CallbackReceiver
from tests.support.service import Service, running_service
from tests.support.sites import Site, running_site


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture(scope="session")
def sample_page(site: Site) -> str:
    """The sample's page, with all that a site may tell."""
    sample = Path(__file__).resolve().parents[2] / "samples" / "sample.mp4"
    return site.add_video("laptop", sample.read_bytes(), title="Why is your laptop so slow?", duration="PT31S")


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with CallbackReceiver() as receiver:
        yield receiver
