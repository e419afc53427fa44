"""Workload controllers beside the control plane: their definitions, webhooks and managers, from their own modules.

A webhook is reached by URL on loopback instead of through a Service, since nothing routes Services here; the serving
certificate is the cluster's own.
"""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from collectors.errors import FixConfiguration, GiveUp
from testcluster.admin import Admin, ApiError, Object
from testcluster.commands import write_private
from testcluster.control_plane import READY_SECONDS, ControlPlane
from testcluster.parts import JOBSET, KUEUE, LWS, TRAINER, Part, binary
from testcluster.processes import Component, free_port

WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


@dataclass(frozen=True)
class Controller:
    """What is particular about one."""

    part: Part
    api: str
    """Of its configuration file."""
    namespace: str
    certificates: str = "internalCertManagement"
    """The field of its configuration that says whether it makes its own certificates: ours does instead."""
    takes_folder: bool = True
    """Its configuration names the folder of the certificate; else it looks in the temporary folder."""
    needs: tuple[str, ...] = ()
    """Controllers that must run before it."""
    more: Mapping[str, Any] | None = None
    """Further fields of the configuration."""
    guards: frozenset[str] = frozenset()
    """Resources that its webhooks may guard; empty: all that they ask for."""


CONTROLLERS = {
    "jobset": Controller(JOBSET, "config.jobset.x-k8s.io/v1alpha1", "jobset-system"),
    "lws": Controller(LWS, "config.lws.x-k8s.io/v1alpha1", "lws-system"),
    "trainer": Controller(
        TRAINER,
        "config.trainer.kubeflow.org/v1alpha1",
        "kubeflow-system",
        certificates="certManagement",
        takes_folder=False,
        needs=("jobset",),
    ),
    "kueue": Controller(
        KUEUE,
        "config.kueue.x-k8s.io/v1beta2",
        "kueue-system",
        more={
            "integrations": {
                # Without TrainJobs: Kueue refuses all of them from when their definitions come until it has seen those.
                "frameworks": ["batch/job", "jobset.x-k8s.io/jobset"],
            },
            "featureGates": {"VisibilityOnDemand": False},
        },
        # Not pods and Deployments: those of everybody else would wait for it.
        guards=frozenset(
            {"clusterqueues", "cohorts", "localqueues", "resourceflavors", "workloads", "jobs", "jobsets"}
        ),
    ),
}


def start_controller(plane: ControlPlane, name: str, ready_seconds: float = READY_SECONDS) -> Component:
    """`jobset`, `lws`, `trainer` or `kueue`, ready to be asked, with what it needs; the one that runs, where it does.

    Built by `--with`. FixConfiguration for an unknown name, or not built."""
    if name in plane.components:
        return plane.components[name]
    if name not in CONTROLLERS:
        raise FixConfiguration(f"no controller {name}; there are {', '.join(CONTROLLERS)}")
    controller = CONTROLLERS[name]
    command = binary(controller.part, name)
    for other in controller.needs:
        start_controller(plane, other, ready_seconds)
    admin, folder = plane.admin, plane.at.folder / f"{name}-files"
    webhook_port, health_port = free_port(), free_port()
    _install_definitions(admin, controller.part.built / "crds", ready_seconds)
    if admin.find("Namespace", controller.namespace) is None:
        admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": controller.namespace}})
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    if not certificates.is_dir():
        certificates.mkdir(parents=True)
        for file in ("tls.crt", "tls.key"):
            (certificates / file).symlink_to(plane.at.folder / file)
    configuration = folder / "config.json"
    write_private(configuration, json.dumps(_configuration(controller, certificates, webhook_port, health_port)))
    environment = {
        "KUBECONFIG": str(plane.kubeconfig(name)),
        "TMPDIR": str(folder),
        "METRICS_CERTIFICATES": str(certificates),
    }
    # Before the manager, so that the API server has long taken note of them when it is ready.
    webhooks = _webhooks(name, controller, plane.ca_file.read_bytes(), webhook_port)
    admin.create_all(webhooks)
    component = plane.add(name, [str(command), f"--config={configuration}"], environment)
    urls = [hook["clientConfig"]["url"] for webhook in webhooks for hook in webhook["webhooks"]]
    tls = ssl.create_default_context(cafile=str(plane.ca_file))
    try:
        component.wait_until(
            lambda: _is_ready(health_port) and all(_is_served(url, tls) for url in urls), ready_seconds
        )
    except GiveUp:
        stop_controller(plane, name)
        raise
    return component


def stop_controller(plane: ControlPlane, name: str) -> None:
    """Its webhooks go first: they would refuse everything. The definitions and their objects stay."""
    for kind in WEBHOOK_KINDS:
        if plane.admin.find(kind, name) is not None:
            plane.admin.delete(kind, name)
    component = plane.components.pop(name, None)
    if component is not None:
        component.stop()


def _configuration(controller: Controller, certificates: Path, webhook_port: int, health_port: int) -> Object:
    webhook: Object = {"port": webhook_port, "host": "127.0.0.1"}
    if controller.takes_folder:
        webhook["certDir"] = str(certificates)
    return {
        "apiVersion": controller.api,
        "kind": "Configuration",
        controller.certificates: {"enable": False},
        "leaderElection": {"leaderElect": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health_port}"},
        "webhook": webhook,
        "clientConnection": {"qps": 300, "burst": 600},
        **(controller.more or {}),
    }


def _install_definitions(admin: Admin, folder: Path, ready_seconds: float) -> None:
    """As they are: the API server reads YAML, and quicker than we. Those of a controller that was stopped are there."""
    path = admin.resource("CustomResourceDefinition").path()
    names = []
    for file in sorted(folder.rglob("*.yaml")):
        try:
            made = admin.request("POST", path, file.read_bytes(), content_type="application/yaml")
            names.append(made["metadata"]["name"])
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    for name in names:
        admin.wait("CustomResourceDefinition", name, _established, seconds=ready_seconds)


def _established(definition: Object) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(found["type"] == "Established" and found["status"] == "True" for found in conditions)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_served(url: str, tls: ssl.SSLContext) -> bool:
    """A manager that says it is ready may still be about to register a webhook: until then it answers 404."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=2, context=tls)
    try:
        connection.request("POST", parts.path, b"{}", {"Content-Type": "application/json"})
        return connection.getresponse().status != 404
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _webhooks(name: str, controller: Controller, authority: bytes, port: int) -> list[Object]:
    """The module's webhook configurations with its own patches, under the controller's name, reached by URL."""
    folder = controller.part.built / "webhooks"
    made = []
    for configuration in yaml.load_all((folder / "manifests.yaml").read_text(), yaml.CSafeLoader):
        word = configuration["kind"].removesuffix("WebhookConfiguration").lower()
        for file in sorted([*folder.rglob(f"{word}-patch.yaml"), *folder.rglob(f"patch_{word}.yaml")]):
            for step in yaml.load(file.read_text(), yaml.CSafeLoader):
                _patch(configuration, step)
        configuration["metadata"] = {"name": name}
        configuration["webhooks"] = [hook for hook in configuration["webhooks"] if _wanted(hook, controller.guards)]
        for hook in configuration["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {
                "url": f"https://127.0.0.1:{port}{path}",
                "caBundle": base64.b64encode(authority).decode(),
            }
        made.append(configuration)
    return made


def _wanted(hook: Object, guards: frozenset[str]) -> bool:
    asked = {resource.partition("/")[0] for rule in hook["rules"] for resource in rule["resources"]}
    return not guards or asked <= guards


def _patch(thing: Any, step: Object) -> None:
    """One step of a JSON patch: the modules use `add` and `replace` of members only."""
    *way, last = step["path"].strip("/").split("/")
    for name in way:
        thing = thing[int(name)] if isinstance(thing, list) else thing[name]
    thing[int(last) if isinstance(thing, list) else last] = step["value"]
