"""A feed at work on a real control plane, with the view and an inventory that it fills."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cluster.health import Health
from agent.cluster.view import LiveCluster
from agent.inventory.feed import InventoryFeed
from agent.inventory.kube_api import KubeApi
from agent.settings import ClusterSettings, InventorySettings
from detectors.model import Inventory
from testcluster.control_plane import ControlPlane


class Seen:
    """What is seen of a control plane; with all rights, or with those of the token in `token_file`."""

    def __init__(
        self, plane: ControlPlane, watch_seconds: float = 60.0, token_file: Path | None = None, **settings: Any
    ) -> None:
        chosen = ClusterSettings(**settings)
        self.view = LiveCluster(InventorySettings(), chosen, time.time_ns, Health(chosen))
        api = KubeApi(plane.url, token_file or plane.token_file(), plane.ca_file, 10.0)
        self.feed = InventoryFeed(InventorySettings(watch_seconds=watch_seconds), api, self.view)
        self.line = self.feed.subscribe()
        self.inventory = Inventory()
        self.feed.start()

    def problem(self) -> str:
        return self.view.problem(time.time_ns())

    def until(self, holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Until something holds; fails with the view's problem after so long."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds:.0f} s for {what}; problem of the view: {self.problem()!r}")
            self.line.apply(self.inventory, 1)
            threading.Event().wait(0.02)

    def until_well(self) -> "Seen":
        self.until(lambda: not self.problem(), "a view without a problem")
        return self
