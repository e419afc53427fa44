"""The one door to the Kubernetes API for writes: JSON in, JSON out, every request with a time-out, errors by meaning.

Credentials, TLS and connections are the official client's; its model objects are not used (they cost ten times the
memory). Before every write the fence is asked: a leader that lost its lease while it slept is stopped there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import urllib3
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes.config.config_exception import ConfigException

from collectors.errors import FixConfiguration, GiveUp, RetryLater

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0
"""Admission webhooks may take 10 s by default, 30 s at most; what takes longer is tried again."""
MOST_BODY_BYTES = 64 * 2**20
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Json = dict[str, Any]


class NotThere(GiveUp):
    """404: the object (or its kind) is not in the cluster."""


class Conflicted(RetryLater):
    """409: the object has changed since it was read, or exists already: read it anew."""


class TooManyRequests(RetryLater):
    """429: the API server is busy, or a PodDisruptionBudget allows no eviction now."""


class Rejected(GiveUp):
    """400 or 422, or an admission webhook's no: the same request will never be taken."""


class Forbidden(FixConfiguration):
    """401 or 403: the agent's role does not allow it."""


class KubeClient:
    """One API server. Safe for threads."""

    def __init__(
        self,
        configuration: kube.Configuration,
        *,
        token_file: Path | None = None,
        fence: Callable[[], None] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """`token_file` is read anew for each request, since projected tokens rotate. `fence` raises where this agent
        may not write any more."""
        configuration.retries = urllib3.Retry(0)  # who calls decides what is safe to repeat
        self._api = kube.ApiClient(configuration)
        self._token_file = token_file
        self._fence = fence
        self._read_seconds = read_seconds
        self.url = str(configuration.host)

    @classmethod
    def at(cls, url: str, token_file: Path, ca_file: Path | None = None, **more: Any) -> "KubeClient":
        """The API server at a URL, with a token and a CA from files. FixConfiguration for plain http off loopback."""
        parts = urlsplit(url)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
            raise FixConfiguration(f"API server {url!r}: must be https:// (http:// on loopback only)")
        if ca_file is not None and not ca_file.is_file():
            raise FixConfiguration(f"{ca_file}: no such file; name the API server's CA")
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
        configuration = kube.Configuration()
        try:
            kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                str(path), context=context, client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError) as error:
            raise FixConfiguration(f"kubeconfig {path}: {' '.join(str(error).split())}") from None
        return cls(configuration, **more)

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
        if body is not None:
            headers["Content-Type"] = content_type
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self._token_file)}"
        auth = [] if self._token_file is not None else ["BearerToken"]
        request = self._api.param_serialize(
            method, path, query_params=list((query or {}).items()), header_params=headers, body=body, auth_settings=auth
        )
        if method in _WRITES and fenced and self._fence is not None:
            self._fence()
        where = f"{method} {self.url}{path}"
        try:
            answer = self._api.call_api(*request, _request_timeout=(CONNECT_SECONDS, self._read_seconds))
            raw: bytes = answer.read() or b""  # type: ignore[no-untyped-call]
        except urllib3.exceptions.HTTPError as error:
            raise RetryLater(f"{where}: {_why(error)}; tried again by itself") from None
        if not 200 <= answer.status < 300:
            raise _error(where, answer.status, raw, answer.headers)
        try:
            read = msgspec.json.decode(raw) if raw else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise RetryLater(f"{where}: not JSON ({error}); tried again by itself") from None
        return read if isinstance(read, dict) else {}


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
    message, reason = _status(raw)
    line = f"{where}: {status} {reason} {message}".strip()
    if status == 404:
        return NotThere(line)
    if status == 409:
        return Conflicted(line)
    if status in (401, 403) and "admission webhook" not in message:
        return Forbidden(f"{line}; grant it in the agent's role")
    if status == 429:
        return TooManyRequests(line, _retry_after(headers))
    if status in (400, 403, 405, 415, 422) or (status == 500 and "denied the request" in message):
        return Rejected(line)
    return RetryLater(f"{line}; tried again by itself", _retry_after(headers))


def _status(raw: bytes) -> tuple[str, str]:
    """Message and reason of a Status object, cut: both may hold text from outside."""
    try:
        read = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw[:200].decode("utf-8", "replace"), ""
    if not isinstance(read, dict):
        return "", ""
    return " ".join(str(read.get("message", "")).split())[:500], str(read.get("reason", ""))[:60]


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    value = (headers or {}).get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
