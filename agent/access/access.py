"""Who is calling: tokens, cookies, login links and host names in one place, for every door of the agent."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie

from agent.access.attempts import FailedAttempts
from agent.access.authorise import ANONYMOUS, Identity, Refused
from agent.access.hosts import HostList
from agent.access.kubernetes import KubernetesIdentities, digest_of
from agent.access.sessions import COOKIE, Session, Sessions
from agent.access.tokens import TokenTable
from collectors.errors import FixConfiguration, GiveUp, RetryLater

_log = logging.getLogger(__name__)

MOST_QUESTIONS = 8
"""To the API server at once: strangers' tokens must not become its burden."""
MOST_WAITING = 256
"""Callers that wait for an answer of the API server; more get 503."""
RETRY_SECONDS = 5
LONGEST_TOKEN = 16 * 1024
AWAY = Refused(
    "the Kubernetes API server cannot be asked whose token this is",
    503,
    "try again soon; tokens of the agent's own work meanwhile",
    RETRY_SECONDS,
)


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
        kubernetes: KubernetesIdentities | None = None,
    ) -> None:
        """`secure_cookies`: browsers reach the agent by TLS, its own or a proxy's. `kubernetes`: whom to ask about
        tokens that are none of our own."""
        self.tokens = tokens
        self.sessions = sessions
        self.attempts = attempts
        self.hosts = hosts
        self.secure_cookies = secure_cookies
        self.kubernetes = kubernetes
        self._questions = asyncio.Semaphore(MOST_QUESTIONS)
        self._under_way: dict[bytes, asyncio.Task[Identity | Refused | None]] = {}
        """Many requests may bring one new token at once: it is asked about once."""

    async def by_token(self, authorization: bytes | None, address: str) -> Identity | Refused:
        """The identity of an Authorization header; Refused 401, 429 after too many failures from `address`, or 503
        where only the API server could tell and does not. Waits only where it has to be asked."""
        if authorization is None:
            return ANONYMOUS
        scheme, _, token = authorization.partition(b" ")
        token = token.strip()
        identity: Identity | Refused | None = None
        if scheme.lower() == b"bearer":
            identity = self.tokens.find(token)
            if identity is None and self.kubernetes is not None and 0 < len(token) <= LONGEST_TOKEN:
                held = self.kubernetes.known(token)
                identity = held[0] if held is not None else await self._asked(self.kubernetes, token)
        return identity if identity is not None else self.failed(address)

    async def _asked(self, kubernetes: KubernetesIdentities, token: bytes) -> Identity | Refused | None:
        digest = digest_of(token)
        task = self._under_way.get(digest)
        if task is None:
            if len(self._under_way) >= MOST_WAITING:
                return AWAY
            task = asyncio.create_task(self._question(lambda: kubernetes.ask(token)))
            self._under_way[digest] = task
            task.add_done_callback(lambda _: self._under_way.pop(digest, None))
        return await asyncio.shield(task)

    async def _question(self, ask: Callable[[], Identity | None]) -> Identity | Refused | None:
        async with self._questions:
            try:
                return await asyncio.to_thread(ask)
            except (RetryLater, GiveUp) as error:
                _log.warning("the API server does not say who this is: %s", error)
                return AWAY
            except FixConfiguration as error:
                _log.error("the API server may not be asked who this is: %s", error)
                return replace(AWAY, do="let the agent's role create tokenreviews and subjectaccessreviews")

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

    async def caller(self, headers: Mapping[str, str], address: str) -> tuple[Identity, Session | None] | Refused:
        """Who sent these headers: by token where one is given, else by cookie."""
        authorization = headers.get("authorization")
        if authorization is not None:
            identity = await self.by_token(authorization.encode("latin-1"), address)
            return identity if isinstance(identity, Refused) else (identity, None)
        session = self.by_cookie(headers.get("cookie"))
        if session is None:
            return ANONYMOUS
        today = await self._today(session.identity)
        return today if isinstance(today, Refused) else (today, session)

    async def _today(self, identity: Identity) -> Identity | Refused:
        """A session lasts for hours; what its bearer may do is asked anew each minute."""
        kubernetes = self.kubernetes
        if identity.user is None:
            return identity
        if kubernetes is None:
            return ANONYMOUS
        held = kubernetes.fresh(identity)
        if held is not None:
            return held
        return await self._question(lambda: kubernetes.renewed(identity)) or ANONYMOUS
