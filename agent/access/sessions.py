"""The browser's way in: a one-time link becomes a session, which lives in memory and ends with the agent."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.access.authorise import Identity

COOKIE = "watchstander_session"
_NANOSECONDS = 1_000_000_000
_MOST = 1_000
"""Open links, and sessions, at once; the oldest goes first."""


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that has logged in."""

    identity: Identity
    expires_ns: int
    id: str = field(default_factory=_secret, repr=False)
    csrf_token: str = field(default_factory=_secret, repr=False)
    """Every write with the cookie must bring it along; a page of another site cannot know it."""

    def csrf_matches(self, given: str) -> bool:
        """Whether a write brought the right one."""
        return hmac.compare_digest(self.csrf_token.encode(), given.encode("utf-8", "replace"))


class Sessions:
    """One-time codes and the sessions they have become. Thread-safe by using single dict operations only."""

    def __init__(
        self, clock: Callable[[], int], *, link_seconds: float = 300.0, session_seconds: float = 43_200.0
    ) -> None:
        """`clock` gives Unix ns."""
        self._clock = clock
        self._link_ns = int(link_seconds * _NANOSECONDS)
        self._session_ns = int(session_seconds * _NANOSECONDS)
        self._links: dict[str, tuple[Identity, int]] = {}
        self._sessions: dict[str, Session] = {}

    def make_code(self, identity: Identity) -> str:
        """A code for `/login?code=`, good once and for `link_seconds`."""
        self._forget_oldest(self._links)
        code = _secret()
        self._links[code] = (identity, self._clock() + self._link_ns)
        return code

    def redeem(self, code: str) -> Session | None:
        """The session that a code becomes; None where it was used, has lapsed, or never was."""
        held = self._links.pop(code, None)
        now = self._clock()
        if held is None or held[1] <= now:
            return None
        self._forget_oldest(self._sessions)
        session = Session(held[0], now + self._session_ns)
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str) -> Session | None:
        """The session of a cookie, unless it has ended."""
        session = self._sessions.get(session_id)
        if session is not None and session.expires_ns <= self._clock():
            self.end(session_id)
            return None
        return session

    def end(self, session_id: str) -> None:
        """Log out."""
        self._sessions.pop(session_id, None)

    @staticmethod
    def _forget_oldest(held: dict[str, tuple[Identity, int]] | dict[str, Session]) -> None:
        while len(held) >= _MOST:
            held.pop(next(iter(held)), None)
