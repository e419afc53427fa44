"""A small server that answers TokenReviews and SubjectAccessReviews from a table, over a real socket, on loopback."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OWN_TOKEN = "the-agents-own-token"


def token_for(name: str, *audiences: str) -> str:
    """A JSON web token in form; what it is worth is the server's table's to say."""
    claims = {"sub": name, **({"aud": list(audiences)} if audiences else {})}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2lnbmF0dXJl"


class ReviewServer:
    """`users`: token -> TokenReview's user and audiences. `rights`: (user, verb, resource, namespace)."""

    def __init__(self) -> None:
        self.users: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
        self.rights: set[tuple[str, str, str, str]] = set()
        self.asked: list[str] = []
        self.status = 0
        """Answer this status to everything."""
        self.hold: threading.Event | None = None
        handler = type("Handler", (_Handler,), {"reviews": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def knows(self, token: str, name: str, *audiences: str, **extra: list[str]) -> None:
        """A token is somebody's, and meant for these; none: for the API server."""
        self.users[token] = ({"username": name, "groups": ["people"], "extra": extra}, audiences or ("api",))

    def answer(self, path: str, spec: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("tokenreviews"):
            self.asked.append("token")
            user, audiences = self.users.get(spec["token"], ({}, ()))
            wanted = spec.get("audiences") or ["api"]
            meant = [audience for audience in wanted if audience in audiences]
            return {"authenticated": True, "user": user, "audiences": meant} if meant else {"authenticated": False}
        of = spec["resourceAttributes"]
        self.asked.append(" ".join([of["verb"], of["resource"], of.get("namespace", "")]).strip())
        key = (spec["user"], of["verb"], of["resource"], of.get("namespace", ""))
        return {"allowed": of["group"] == "watchstander.io" and (key in self.rights or (*key[:3], "") in self.rights)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    reviews: ReviewServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Silence."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.reviews.hold is not None:
            self.reviews.hold.wait(20)
        status = self.reviews.status or (201 if self.headers["Authorization"] == f"Bearer {OWN_TOKEN}" else 401)
        said = {**body, "status": self.reviews.answer(self.path, body["spec"])} if status == 201 else {"kind": "Status"}
        raw = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
