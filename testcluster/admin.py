"""A small client for tests: JSON in, JSON out, verified TLS, a time-out on every request, nothing hidden.

Kinds are named as in manifests (`Job`, or `Event.events.k8s.io` where two groups have one); the API server's own
discovery says which path that is, so that custom resources work as soon as their definitions are there.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from collectors.errors import GiveUp, RetryLater

Object = dict[str, Any]
"""A Kubernetes object as its JSON reads."""
Objects = list[Object]
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
PATIENCE_SECONDS = 60.0
"""How long the `wait`s wait: far longer than anything takes, on a machine that builds something else beside."""
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ApiError(GiveUp):
    """The API server's own no: `status` is the HTTP code, `reason` as in `metav1.Status`, `answer` the whole of it."""

    def __init__(self, what: str, status: int, answer: Object) -> None:
        self.status = status
        self.reason = str(answer.get("reason", ""))
        self.answer = answer
        super().__init__(f"{what}: {status} {self.reason}: {answer.get('message', '')}")


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind live."""

    api: str
    """`v1` or `batch/v1`."""
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Of all of them, of those in a namespace, or of one."""
        parts = ["api" if "/" not in self.api else "apis", self.api]
        parts += ["namespaces", quote(namespace)] if self.namespaced and namespace else []
        parts += [self.plural, *filter(None, (quote(name), subresource))]
        return "/" + "/".join(parts)


@dataclass
class Admin:
    """One identity at one API server. Safe to use from several threads: each request has a connection of its own."""

    url: str
    token: str
    ca_file: Path
    timeout_seconds: float = 15.0
    impersonate: str = ""
    """User to act as; needs the right to impersonate."""
    _kinds: dict[str, Resource] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._tls = ssl.create_default_context(cafile=str(self.ca_file))

    def with_token(self, token: str) -> "Admin":
        """Somebody else at the same API server."""
        return replace(self, token=token, impersonate="")

    def as_user(self, user: str) -> "Admin":
        """Ourselves, acting as another: `system:serviceaccount:NAMESPACE:NAME`."""
        return replace(self, impersonate=user)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """The decoded answer; a body of bytes is sent as it is.

        ApiError where the server says no, RetryLater where it says nothing.
        """
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port
        connection = http.client.HTTPSConnection(host, port, timeout=self.timeout_seconds, context=self._tls)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept, "Content-Type": content_type}
        if self.impersonate:
            headers["Impersonate-User"] = self.impersonate
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, target, sent, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RetryLater(f"{method} {self.url}{path}: {str(error) or type(error).__name__}") from None
        finally:
            connection.close()
        try:
            decoded = json.loads(text)
        except ValueError:
            decoded = {"message": text.decode(errors="replace")}
        if answer.status >= 300:
            raise ApiError(f"{method} {path}", answer.status, decoded if isinstance(decoded, dict) else {})
        return decoded if isinstance(decoded, dict) else {"value": decoded}

    def ready(self) -> bool:
        """`/readyz` says ok."""
        try:
            self.request("GET", "/readyz")
        except (RetryLater, ApiError):
            return False
        return True

    def resource(self, kind: str) -> Resource:
        """Where a kind lives; GiveUp where the server has none of that name."""
        if kind not in self._kinds:
            self._discover()
        try:
            return self._kinds[kind]
        except KeyError:
            raise GiveUp(f"{self.url} serves no kind {kind}: is its CustomResourceDefinition installed?") from None

    def get(self, kind: str, name: str, namespace: str = "", subresource: str = "") -> Object:
        """One object."""
        return self.request("GET", self.resource(kind).path(namespace, name, subresource))

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def list(self, kind: str, namespace: str = "", labels: str = "", fields: str = "") -> Objects:
        """All of a kind, by label and field selector."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        found = self.request("GET", self.resource(kind).path(namespace), query={k: v for k, v in query.items() if v})
        return list(found["items"])

    def create(self, thing: Object) -> Object:
        """Make it; the namespace is the object's own."""
        return self.request("POST", self._path_of(thing, named=False), thing)

    def create_all(self, things: Iterable[Object]) -> Objects:
        """One after the other."""
        return [self.create(thing) for thing in things]

    def apply(self, thing: Object, manager: str = "testcluster") -> Object:
        """Server-side apply, conflicts forced."""
        query = {"fieldManager": manager, "force": "true"}
        path = self._path_of(thing, named=True)
        return self.request("PATCH", path, thing, query=query, content_type=PATCHES["apply"])

    def replace(self, thing: Object, subresource: str = "") -> Object:
        """PUT: 409 where its resourceVersion is old."""
        return self.request("PUT", self._path_of(thing, named=True, subresource=subresource), thing)

    def patch(
        self, kind: str, name: str, patch: Any, namespace: str = "", subresource: str = "", how: str = "merge"
    ) -> Object:
        """`how`: merge, strategic or json."""
        path = self.resource(kind).path(namespace, name, subresource)
        return self.request("PATCH", path, patch, content_type=PATCHES[how])

    def delete(self, kind: str, name: str, namespace: str = "", **options: Any) -> Object:
        """`options` as in DeleteOptions: gracePeriodSeconds, propagationPolicy, preconditions."""
        return self.request("DELETE", self.resource(kind).path(namespace, name), options or None)

    def evict(self, pod: str, namespace: str) -> Object:
        """Through the Eviction API: 429 where a PodDisruptionBudget says no."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        return self.request("POST", self.resource("Pod").path(namespace, pod, "eviction"), body)

    def cordon(self, node: str, unschedulable: bool = True) -> Object:
        """Or uncordon."""
        return self.patch("Node", node, {"spec": {"unschedulable": unschedulable}})

    def token_request(
        self, account: str, namespace: str, *, audience: str = "", pod: str = "", seconds: int = 3600
    ) -> str:
        """A token of a service account; bound to a pod it names the pod's node. Audience: empty is the API server's."""
        spec: Object = {"expirationSeconds": seconds, "audiences": [audience] if audience else []}
        if pod:
            uid = self.get("Pod", pod, namespace)["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self.request("POST", self.resource("ServiceAccount").path(namespace, account, "token"), body)
        return str(answer["status"]["token"])

    def review_token(self, token: str, audience: str = "") -> Object:
        """The status of a TokenReview."""
        spec = {"token": token, "audiences": [audience] if audience else []}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return dict(self.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)["status"])

    def wait(
        self,
        kind: str,
        name: str,
        done: Callable[[Object], bool],
        namespace: str = "",
        seconds: float = PATIENCE_SECONDS,
    ) -> Object:
        """The object once `done` says so; GiveUp after so long, with its status as last seen."""
        end = time.monotonic() + seconds
        while True:
            found = self.find(kind, name, namespace)
            if found is not None and done(found):
                return found
            if time.monotonic() > end:
                seen = json.dumps(found.get("status", {})) if found else "not there"
                raise GiveUp(f"{kind} {name}: not as waited for within {seconds:.0f} s; last seen: {seen}")
            time.sleep(0.05)

    def wait_gone(self, kind: str, name: str, namespace: str = "", seconds: float = PATIENCE_SECONDS) -> None:
        """Until there is none of that name."""
        self.wait_list(kind, lambda found: not found, namespace, fields=f"metadata.name={name}", seconds=seconds)

    def wait_list(
        self,
        kind: str,
        done: Callable[[Objects], bool],
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        seconds: float = PATIENCE_SECONDS,
    ) -> Objects:
        """The objects once `done` says so; GiveUp after so long, with their names and phases as last seen."""
        end = time.monotonic() + seconds
        while not done(found := self.list(kind, namespace, labels, fields)):
            if time.monotonic() > end:
                seen = {item["metadata"]["name"]: item.get("status", {}).get("phase", "") for item in found}
                raise GiveUp(f"{kind}: not as waited for within {seconds:.0f} s; last seen: {seen}")
            time.sleep(0.05)
        return found

    def _path_of(self, thing: Object, *, named: bool, subresource: str = "") -> str:
        api, kind, metadata = thing["apiVersion"], thing["kind"], thing["metadata"]
        group = api.partition("/")[0] if "/" in api else ""
        resource = replace(self.resource(f"{kind}.{group}" if group else kind), api=api)
        namespace = metadata.get("namespace", "")
        if resource.namespaced and not namespace:
            raise GiveUp(f"{kind} {metadata.get('name')}: metadata.namespace is empty")
        return resource.path(namespace, metadata["name"] if named else "", subresource)

    def _discover(self) -> None:
        """Bare names belong to the core group, then to whoever the server names first."""
        for root in ("/api", "/apis"):
            for group in self.request("GET", root, accept=DISCOVERY)["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"][:1]:  # the preferred one stands first
                    api = f"{name}/{version['version']}" if name else version["version"]
                    for item in version.get("resources", ()):
                        kind = item["responseKind"]["kind"]
                        found = Resource(api, kind, item["resource"], item["scope"] == "Namespaced")
                        self._kinds.setdefault(kind, found)
                        self._kinds[f"{kind}.{name}"] = found
