"""The one door to the Kubernetes API for writes: JSON in, JSON out, every request with a time-out, errors by meaning.

Credentials, TLS and connections are the official client's; its model objects are not used (they cost ten times the
memory), and it is imported where a client is made (43 MiB): an agent without a cluster does without it. Before every
write the fence is asked: a leader that lost its lease while it slept is stopped there.
"""

import json
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3

from collectors.errors import FixConfiguration, GiveUp, RetryLater

if TYPE_CHECKING:
    from kubernetes import client as kube

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0
"""Admission webhooks may take 10 s by default, 30 s at most; what takes longer is tried again."""
MOST_BODY_BYTES = 64 * 2**20
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FIELD_MANAGER = "watchstander"
"""Under this name the API server keeps which fields are ours (`metadata.managedFields`)."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NAMED = frozenset({"POST", "PUT", "PATCH"})

Json = dict[str, Any]


class NotThere(GiveUp):
    """404: the object (or its kind) is not in the cluster."""


class Conflicted(RetryLater):
    """409: the object has changed since it was read, or exists already: read it anew."""


class TooManyRequests(RetryLater):
    """429: the API server is busy, or a PodDisruptionBudget allows no eviction now; `budget` is then its own words."""

    def __init__(self, message: str, after_seconds: float | None = None, budget: str = "") -> None:
        super().__init__(message, after_seconds)
        self.budget = budget


class Rejected(GiveUp):
    """400 or 422, or an admission webhook's no: the same request will never be taken."""


class Forbidden(FixConfiguration):
    """401 or 403: the agent's role does not allow it."""


class KubeClient:
    """One API server. Safe for threads."""

    def __init__(
        self,
        configuration: "kube.Configuration",
        *,
        token_file: Path | None = None,
        fence: Callable[[], None] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """`token_file` is read anew for each request, since projected tokens rotate. `fence` raises where this agent
        may not write any more."""
        configuration.retries = urllib3.Retry(0)  # who calls decides what is safe to repeat
        from kubernetes import client as kube

        self._configuration = configuration
        # The official client's connections, asked directly: its own way of putting a request together takes as long
        # again as the request.
        self._pool: urllib3.PoolManager = kube.ApiClient(configuration).rest_client.pool_manager
        self._timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds)
        self._token_file = token_file
        self._fence = fence
        self._server_ns = 0
        self.url = str(configuration.host)

    @classmethod
    def at(cls, url: str, token_file: Path, ca_file: Path | None = None, **more: Any) -> "KubeClient":
        """The API server at a URL, with a token and a CA from files. FixConfiguration for plain http off loopback."""
        parts = urlsplit(url)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
            raise FixConfiguration(f"API server {url!r}: must be https:// (http:// on loopback only)")
        if ca_file is not None and not ca_file.is_file():
            raise FixConfiguration(f"{ca_file}: no such file; name the API server's CA")
        from kubernetes import client as kube

        configuration = kube.Configuration(host=url.rstrip("/"), ssl_ca_cert=str(ca_file) if ca_file else None)
        return cls(configuration, token_file=token_file, **more)

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str], **more: Any) -> "KubeClient":
        """The API server that a pod finds in its environment."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise FixConfiguration(
                "KUBERNETES_SERVICE_HOST is not set: run the agent in a pod, or set inventory.kubernetes_url, "
                "kubernetes_token_file and kubernetes_ca_file"
            )
        host = f"[{host}]" if ":" in host else host
        return cls.at(f"https://{host}:{port}", SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt", **more)

    @classmethod
    def of_kubeconfig(cls, path: Path, context: str | None = None, **more: Any) -> "KubeClient":
        """The cluster of a kubeconfig, with a person's own credentials (exec plugins included)."""
        from kubernetes import client as kube
        from kubernetes import config as kube_config
        from kubernetes.config.config_exception import ConfigException

        configuration = kube.Configuration()
        try:
            kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                str(path), context=context, client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError) as error:
            raise FixConfiguration(f"kubeconfig {path}: {' '.join(str(error).split())}") from None
        return cls(configuration, **more)

    @property
    def server_ns(self) -> int:
        """The API server's own clock at its last answer, Unix ns, to a second; 0: it has not answered yet.

        Times in objects (a deletion's deadline) are compared with this, not with ours: clocks differ.
        """
        return self._server_ns

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read an object or a list. Raises NotThere, Forbidden, RetryLater."""
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Any, query: Mapping[str, str] | None = None, *, reads: bool = False) -> Json:
        """Create an object, or ask for a subresource. `reads`: it changes nothing (a TokenReview), no fence."""
        return self._ask("POST", path, body, query=query, fenced=not reads)

    def patch(self, path: str, body: Any, *, how: str = MERGE_PATCH, query: Mapping[str, str] | None = None) -> Json:
        """Change an object. Put `metadata.uid` and `metadata.resourceVersion` into a merge patch as preconditions."""
        return self._ask("PATCH", path, body, content_type=how, query=query)

    def put(self, path: str, body: Any) -> Json:
        """Replace an object; its resourceVersion is the precondition."""
        return self._ask("PUT", path, body)

    def delete(self, path: str, body: Any = None) -> Json:
        """Delete an object; `body` is a DeleteOptions with preconditions."""
        return self._ask("DELETE", path, body)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        fenced: bool = True,
    ) -> Json:
        headers = {"Accept": "application/json", "User-Agent": "watchstander"}
        encoded = None
        if body is not None:
            headers["Content-Type"] = content_type
            encoded = json.dumps(body)  # not msgspec: text from outside may hold what is no UTF-8, this escapes it
        headers |= self._credential()
        parameters = dict(query or {})
        if fenced and method in _NAMED:
            parameters.setdefault("fieldManager", FIELD_MANAGER)
        address = f"{self.url}{path}?{urlencode(parameters)}" if parameters else f"{self.url}{path}"
        if method in _WRITES and fenced and self._fence is not None:
            self._fence()
        where = f"{method} {self.url}{path}"
        try:
            answer = self._pool.request(method, address, body=encoded, headers=headers, timeout=self._timeout)
        except urllib3.exceptions.HTTPError as error:
            raise RetryLater(f"{where}: {_why(error)}; tried again by itself") from None
        raw = answer.data
        self._server_ns = _date_ns(answer.headers) or self._server_ns
        if not 200 <= answer.status < 300:
            raise _error(where, answer.status, raw, answer.headers)
        try:
            read = msgspec.json.decode(raw) if raw else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise RetryLater(f"{where}: not JSON ({error}); tried again by itself") from None
        if not isinstance(read, dict):
            return {}
        if read.get("kind") == "Status" and read.get("status") == "Failure":
            # The Eviction API says so of a pod with two budgets, under a 201.
            raise _error(where, int(read.get("code") or 500), raw, answer.headers)
        return read

    def _credential(self) -> dict[str, str]:
        """Read anew for each request: projected tokens rotate, and a kubeconfig's exec plugin renews its own."""
        if self._token_file is not None:
            return {"Authorization": f"Bearer {_token(self._token_file)}"}
        known = self._configuration.auth_settings().get("BearerToken")
        return {"Authorization": str(known["value"])} if known and known["value"] else {}


def path_of(api_version: str, plural: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    """`/apis/batch/v1/namespaces/NS/jobs/NAME/SUB`. Every part is quoted: names come from the cluster."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    parts = [*(("namespaces", namespace) if namespace else ()), plural, *((name,) if name else ())]
    return "/".join([root, *(quote(part, safe="") for part in parts), *((sub,) if sub else ())])


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FixConfiguration(f"{path}: {getattr(error, 'strerror', None) or error}; name a readable token") from None


def _error(where: str, status: int, raw: bytes, headers: Mapping[str, str] | None) -> Exception:
    said = _Said.of(raw)
    line = f"{where}: {status} {said.reason} {said.message}".strip()
    if status == 404:
        return NotThere(line)
    if status == 409 or (status == 422 and any(one in said.message for one in _CHANGED)):
        return Conflicted(line)
    if status == 401 or (status == 403 and _NO_RIGHT in said.message):
        return Forbidden(f"{line}; grant it in the agent's role")
    if status == 429 or (status == 500 and _TWO_BUDGETS in said.message):
        return TooManyRequests(line, _retry_after(headers), said.budget)
    if status in (400, 403, 405, 415, 422) or (status == 500 and "denied the request" in said.message):
        return Rejected(line)
    return RetryLater(f"{line}; tried again by itself", _retry_after(headers))


_NO_RIGHT = " cannot "
"""RBAC's own sentence: `User "x" cannot patch resource "nodes" in API group ""`. Every other 403 is admission's no
(a webhook, a policy, a quota), which no role mends."""
_TWO_BUDGETS = "more than one PodDisruptionBudget"
"""Such a pod is never evicted until a person takes one of the budgets away: a budget that allows nothing."""
_CHANGED = ("the server rejected our request due to an error in our request", "metadata.uid: Invalid value")
"""A JSON patch's `test` (the server says no more than that), or a merge patch's uid, found something else than was
read: the object has changed since."""


class _Said(msgspec.Struct):
    """A Status object, cut: it may hold text from outside."""

    message: str = ""
    reason: str = ""
    budget: str = ""

    @classmethod
    def of(cls, raw: bytes) -> "_Said":
        try:
            read = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            return cls(_cut(raw[:200].decode("utf-8", "replace")))
        if not isinstance(read, dict):
            return cls()
        details = read.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        budgets = [
            _cut(cause.get("message", ""))
            for cause in (causes if isinstance(causes, list) else ())
            if isinstance(cause, dict) and cause.get("reason") == "DisruptionBudget"
        ]
        message = _cut(read.get("message", ""))
        if _TWO_BUDGETS in message:
            budgets.append(message)
        return cls(message, str(read.get("reason", ""))[:60], "; ".join(budgets))


def _cut(text: object) -> str:
    return " ".join(str(text).split())[:500]


def _date_ns(headers: Mapping[str, str] | None) -> int:
    try:
        return int(parsedate_to_datetime((headers or {}).get("Date", "")).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    value = (headers or {}).get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
