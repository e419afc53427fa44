"""Who is calling: tokens, cookies, login links and host names in one place, for every door of the agent."""

import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from agent.access.attempts import FailedAttempts
from agent.access.authorise import ANONYMOUS, Identity, Refused
from agent.access.hosts import HostList
from agent.access.sessions import COOKIE, Session, Sessions
from agent.access.tokens import TokenTable

_log = logging.getLogger(__name__)


class Access:
    """Answers "who is this"; `agent.access.authorise` answers "may they"."""

    def __init__(
        self,
        tokens: TokenTable,
        sessions: Sessions,
        attempts: FailedAttempts,
        hosts: HostList,
        *,
        secure_cookies: bool = False,
    ) -> None:
        """`secure_cookies`: browsers reach the agent by TLS, its own or a proxy's."""
        self.tokens = tokens
        self.sessions = sessions
        self.attempts = attempts
        self.hosts = hosts
        self.secure_cookies = secure_cookies

    def by_token(self, authorization: bytes | None, address: str) -> Identity | Refused:
        """The identity of an Authorization header; Refused 401, or 429 after too many failures from `address`."""
        if authorization is None:
            return ANONYMOUS
        scheme, _, token = authorization.partition(b" ")
        identity = self.tokens.find(token.strip()) if scheme.lower() == b"bearer" else None
        return identity if identity is not None else self.failed(address)

    def by_cookie(self, cookie: str | None) -> Session | None:
        """The session of a Cookie header, if there is one."""
        if not cookie or COOKIE not in cookie:
            return None
        try:
            morsel = SimpleCookie(cookie).get(COOKIE)
        except CookieError:
            return None
        return self.sessions.find(morsel.value) if morsel is not None else None

    def redeem(self, code: str, address: str) -> Session | Refused:
        """The session that a login code becomes."""
        session = self.sessions.redeem(code)
        if session is not None:
            _log.info("%s logged in from %s", session.identity.name, address)
            return session
        refused = self.failed(address)
        if refused.status == ANONYMOUS.status:
            return Refused("this login link was used or has lapsed", 401, "ask the agent for a new one")
        return refused

    def failed(self, address: str) -> Refused:
        """Count a failure and say what it is answered with."""
        wait = self.attempts.fail(address)
        if wait:
            return Refused("too many failed logins from this address", 429, f"wait {wait} s", wait)
        _log.warning("a wrong credential from %s", address)
        return ANONYMOUS

    def caller(self, headers: Mapping[str, str], address: str) -> tuple[Identity, Session | None] | Refused:
        """Who sent these headers: by token where one is given, else by cookie."""
        authorization = headers.get("authorization")
        if authorization is not None:
            identity = self.by_token(authorization.encode("latin-1"), address)
            return identity if isinstance(identity, Refused) else (identity, None)
        session = self.by_cookie(headers.get("cookie"))
        return (session.identity, session) if session is not None else ANONYMOUS
