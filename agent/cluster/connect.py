"""The client to the API server that the settings name, for questions and writes. Watches have their own, GET only."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.settings import InventorySettings

if TYPE_CHECKING:
    from policies.cluster.client import KubeClient


def kube_client(settings: InventorySettings, environment: Mapping[str, str], **more: Any) -> "KubeClient":
    """Imports the official client (0.3 s, 43 MiB). FixConfiguration where settings and environment name none."""
    from policies.cluster.client import SERVICE_ACCOUNT, KubeClient

    if not settings.kubernetes_url:
        return KubeClient.in_cluster(environment, **more)
    token = Path(settings.kubernetes_token_file) if settings.kubernetes_token_file else SERVICE_ACCOUNT / "token"
    ca = Path(settings.kubernetes_ca_file) if settings.kubernetes_ca_file else SERVICE_ACCOUNT / "ca.crt"
    loopback = settings.kubernetes_url.startswith("http://")
    return KubeClient.at(settings.kubernetes_url, token, None if loopback else ca, **more)
