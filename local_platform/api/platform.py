"""All parts of the platform, put together: what the API and the pages work on."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from local_platform.api import account
from local_platform.api.connections import Connections
from local_platform.api.connector import Listening
from local_platform.api.destinations import EMBEDDED, Destinations, Wanted
from local_platform.api.errors import ApiError
from local_platform.api.hooks import Deliverer
from local_platform.api.runner import Runner
from local_platform.api.sources import Sources
from local_platform.api.store import Destination, Group, Store
from local_platform.api.vault import Vault
from local_platform.api.webhooks import Webhooks

logger = logging.getLogger(__name__)

SAMPLES = Path(__file__).parents[1] / "demo" / "sources"
BUILT_IN = "Built-in"
SCHEDULE_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """How the platform runs.

    Args:
        directory: where it keeps its state.
        sources: a directory with sources.
        python: the Python that Connector SDK projects run in.
        webhook_step: seconds that each wait for a webhook is longer than the one before.
    """

    directory: Path
    sources: Path = SAMPLES
    python: str = sys.executable
    webhook_step: float = 5.0


class Platform:
    """The platform, from its start to its end.

    Args:
        settings: how it runs.
        connector: the destination connector.

    Raises:
        VaultError: if its key is none.
    """

    def __init__(self, settings: Settings, connector: Listening) -> None:
        self.settings = settings
        self.store = Store(settings.directory)
        self.store.recover()
        self.vault = Vault(settings.directory)
        self.sources = Sources(settings.sources, settings.python)
        self.runner = Runner(self.store)
        self.destinations = Destinations(self.store, self.vault, lambda: connector)
        self.connections = Connections(
            self.store, self.vault, self.sources, self.destinations, self.runner, settings.directory
        )
        self._deliverer = Deliverer(self.store, self.vault, settings.webhook_step)
        self.webhooks = Webhooks(self.store, self.vault, self._deliverer)
        self._stopping = threading.Event()
        self._scheduler = threading.Thread(target=self._schedule, name="schedule", daemon=True)

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._scheduler.join()
        self.runner.close()
        self._deliverer.close()
        self.store.close()

    def first_start(self) -> tuple[str, str] | None:
        """Make what a new platform needs: a key, and the built-in destination.

        Returns:
            The key and secret, which are shown once; None if it has them.
        """
        with self.store.reading() as session:
            empty = session.scalar(sa.select(sa.func.count()).select_from(Group)) == 0
        if empty:
            self.destinations.create_named(BUILT_IN, Wanted(EMBEDDED, None, {}))
        return None if account.exists(self.store) else account.create(self.store)

    def destination_names(self) -> dict[str, str]:
        """The names of all destinations, by their ids."""
        with self.store.reading() as session:
            named = sa.select(Group.id, Group.name).join(Destination, Destination.id == Group.id)
            return {row.id: row.name for row in session.execute(named)}

    def _schedule(self) -> None:
        while not self._stopping.wait(SCHEDULE_SECONDS):
            for identity in self.connections.due():
                try:
                    self.connections.sync(identity)
                except ApiError as error:
                    logger.warning("connection %s is not synced: %s", identity, error)
