"""Kubernetes identities: whose token, which roles, where, and what is remembered."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from review_server import OWN_TOKEN, ReviewServer, token_for

from agent.access.access import AWAY, Access
from agent.access.attempts import FailedAttempts
from agent.access.authorise import (
    ANONYMOUS,
    Allowed,
    Identity,
    NodeBinding,
    Permission,
    Refused,
    Role,
    Target,
    authorise,
)
from agent.access.hosts import HostList
from agent.access.kubernetes import RIGHTS, KubernetesIdentities
from agent.access.sessions import Sessions
from agent.access.tokens import TokenTable
from agent.settings import KubernetesAccessSettings
from collectors.errors import RetryLater
from policies.cluster.client import KubeClient

pytestmark = pytest.mark.slow

SECOND_NS = 1_000_000_000
EVERYWHERE = {("jane", *right, "") for right in RIGHTS.values()}


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[ReviewServer]:
    made = ReviewServer()
    yield made
    made.close()


@pytest.fixture
def identities(server: ReviewServer, clock: Clock, tmp_path: Path) -> KubernetesIdentities:
    return make(server, clock, tmp_path)


def make(server: ReviewServer, clock: Clock, folder: Path, **settings: object) -> KubernetesIdentities:
    own = folder / "own-token"
    own.write_text(OWN_TOKEN)
    return KubernetesIdentities(
        KubernetesAccessSettings(enabled=True, **settings),
        lambda: KubeClient.at(server.url, own, read_seconds=5.0),
        clock,
        cluster="prod",
        namespaces=lambda: ["a", "b", "c"],
        node_uid={"gpu-1": "uid-1"}.get,
    )


def access_of(identities: KubernetesIdentities, clock: Clock) -> Access:
    tokens = TokenTable([("0" * 32, Identity("static", (Role.READ,)))])
    return Access(tokens, Sessions(clock), FailedAttempts(clock), HostList(), kubernetes=identities)


def ask(access: Access, *tokens: str) -> list[Identity | Refused]:
    async def all_of_them() -> list[Identity | Refused]:
        return await asyncio.gather(*(access.by_token(f"Bearer {token}".encode(), "1.2.3.4") for token in tokens))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("held", "roles"),
    [
        pytest.param([], (), id="known, and may nothing"),
        pytest.param([Role.READ], (Role.READ,), id="viewer"),
        pytest.param([Role.READ, Role.ACKNOWLEDGE], (Role.READ, Role.ACKNOWLEDGE), id="operator"),
        pytest.param(list(RIGHTS), tuple(RIGHTS), id="admin"),
    ],
)
def test_roles_are_what_the_api_server_says_of_our_resources(server, identities, held, roles) -> None:
    token = token_for("jane")
    server.knows(token, "jane")
    server.rights = {("jane", *RIGHTS[role], "") for role in held}
    found = identities.ask(token.encode())

    assert found is not None
    assert (found.name, found.roles, found.proof, found.user.username, found.user.groups) == (
        "kubernetes:jane",
        roles,
        "TokenReview",
        "jane",
        ("people",),
    )


def test_rights_in_some_namespaces_are_kept_apart(server, identities) -> None:
    token = token_for("jane")
    server.knows(token, "jane")
    read, approve = RIGHTS[Role.READ], RIGHTS[Role.APPROVE]
    server.rights = {("jane", *read, "a"), ("jane", *read, "c"), ("jane", *approve, "c"), ("jane", *approve, "b")}
    found = identities.ask(token.encode())
    assert found is not None
    said = {
        (permission, namespace): isinstance(authorise(found, permission, Target(namespace=namespace)), Allowed)
        for permission in (Permission.READ, Permission.APPROVE)
        for namespace in ("a", "b", "c", "")
    }

    assert (found.roles, found.namespaces) == ((Role.READ, Role.APPROVE), ("a", "c"))
    assert {key for key, allowed in said.items() if allowed} == {("read", "a"), ("read", "c"), ("approve", "c")}


@pytest.mark.parametrize(
    ("audiences", "settings", "gets_in"),
    [
        pytest.param((), {}, True, id="the API server's"),
        pytest.param((), {"api_server_audience": False}, False, id="the API server's, where that is not taken"),
        pytest.param(("watchstander",), {"api_server_audience": False}, True, id="our own"),
        pytest.param(("ours",), {"audience": "ours"}, True, id="our own under another name"),
        pytest.param(("vault",), {}, False, id="somebody else's"),
    ],
)
def test_only_tokens_that_are_meant_for_us_get_in(server, clock, tmp_path, audiences, settings, gets_in) -> None:
    token = token_for("jane", *audiences)
    server.knows(token, "jane", *audiences)

    assert (make(server, clock, tmp_path, **settings).ask(token.encode()) is not None) == gets_in


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "..", "e30.bnVsbA.x", "e30.W10.x", "a.eyJhdWQiOiA3fQ.b"])
def test_any_token_can_be_asked_about(server, identities, token) -> None:
    before = identities.ask(token.encode())
    server.knows(token, "jane")

    assert (before, identities.ask(token.encode()) is not None) == (None, True)


def test_an_answer_is_remembered_for_a_minute_and_a_refusal_for_ten_seconds(server, identities, clock) -> None:
    good, bad = token_for("jane"), token_for("joe")
    server.knows(good, "jane")
    server.rights = EVERYWHERE
    access = access_of(identities, clock)
    turns = []
    for _ in range(14):
        server.asked.clear()
        ask(access, good, bad)
        turns.append(server.asked.count("token"))
        clock.now_ns += 5 * SECOND_NS

    assert turns == [2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 0]


def test_a_right_that_is_taken_away_is_gone_after_a_minute(server, identities, clock) -> None:
    token = token_for("jane")
    server.knows(token, "jane")
    server.rights = EVERYWHERE
    access = access_of(identities, clock)
    (before,) = ask(access, token)
    server.rights = set()
    clock.now_ns += 61 * SECOND_NS
    (after,) = ask(access, token)

    assert [one.roles for one in (before, after) if isinstance(one, Identity)] == [tuple(RIGHTS), ()]


def test_a_session_goes_with_the_rights_of_its_bearer(server, identities, clock) -> None:
    token = token_for("jane")
    server.knows(token, "jane")
    server.rights = EVERYWHERE
    access = access_of(identities, clock)

    async def story() -> list[tuple[Role, ...]]:
        identity = await access.by_token(f"Bearer {token}".encode(), "1.2.3.4")
        assert isinstance(identity, Identity)
        session = access.redeem(access.sessions.make_code(identity), "1.2.3.4")
        assert not isinstance(session, Refused)
        seen = []
        for rights in (EVERYWHERE, set()):
            server.rights = rights
            clock.now_ns += 61 * SECOND_NS
            came = await access.caller({"cookie": f"watchstander_session={session.id}"}, "1.2.3.4")
            assert not isinstance(came, Refused)
            seen.append(came[0].roles)
        return seen

    assert asyncio.run(story()) == [tuple(RIGHTS), ()]


@pytest.mark.parametrize("status", [500, 429, 403, 401])
def test_while_the_api_server_does_not_answer_strangers_get_503_and_our_own_tokens_go_on(
    server, identities, clock, status
) -> None:
    server.status = status
    stranger, own = ask(access_of(identities, clock), token_for("jane"), "0" * 32)

    assert isinstance(stranger, Refused)
    assert (stranger.status, stranger.retry_after_seconds, getattr(own, "name", "")) == (503, 5, "static")


def test_a_server_that_is_away_is_asked_again_at_the_next_request(server, identities, clock) -> None:
    server.status = 500
    token = token_for("jane")
    server.knows(token, "jane")
    access = access_of(identities, clock)
    (before,) = ask(access, token)
    server.status = 0
    (after,) = ask(access, token)

    assert (before, getattr(after, "name", "")) == (AWAY, "kubernetes:jane")


def test_a_token_that_nobody_knows_counts_as_a_failed_login(identities, clock) -> None:
    access = access_of(identities, clock)

    assert (ask(access, token_for("joe")), access.attempts.failures) == ([ANONYMOUS], 1)


def test_one_token_of_many_requests_is_asked_about_once(server, identities, clock) -> None:
    token = token_for("jane")
    server.knows(token, "jane")
    server.hold = threading.Event()
    threading.Timer(0.2, server.hold.set).start()
    ask(access_of(identities, clock), *([token] * 50))

    assert server.asked.count("token") == 1


NODE = {"authentication.kubernetes.io/node-name": ["gpu-1"]}


@pytest.mark.parametrize(
    ("audiences", "extra", "right", "node"),
    [
        pytest.param(("watchstander-ingest",), NODE, True, NodeBinding("prod", "uid-1"), id="a collector"),
        pytest.param(
            ("watchstander-ingest",),
            {**NODE, "authentication.kubernetes.io/node-uid": ["uid-9"]},
            True,
            NodeBinding("prod", "uid-9"),
            id="whose token names the node's uid",
        ),
        pytest.param(("watchstander-ingest",), NODE, False, None, id="without the right"),
        pytest.param(("watchstander-ingest",), {}, True, None, id="bound to no pod"),
        pytest.param(
            ("watchstander-ingest",),
            {"authentication.kubernetes.io/node-name": ["gpu-7"]},
            True,
            None,
            id="of a node that is not known",
        ),
    ],
)
def test_a_collector_may_send_for_the_node_of_its_pod_and_nothing_else(
    server, identities, audiences, extra, right, node
) -> None:
    token = token_for("c", *audiences)
    server.knows(token, "system:serviceaccount:ws:collector", *audiences, **extra)
    server.rights = {("system:serviceaccount:ws:collector", verb, "batches", "") for verb in ["create"] if right}
    found = identities.ask(token.encode())

    assert (found and (found.roles, found.node)) == (node and ((Role.INGEST,), node))


@pytest.mark.parametrize("name", ["jane\nadmin logged in", "j" * 201, "\x1b[2J"], ids=["lines", "long", "escapes"])
def test_a_name_that_could_forge_a_line_is_nobodys(server, identities, name) -> None:
    server.knows(token_for("x"), name)

    assert identities.ask(token_for("x").encode()) is None


def test_without_an_api_server_it_says_where(clock, tmp_path) -> None:
    own = tmp_path / "own"
    own.write_text(OWN_TOKEN)
    away = KubernetesIdentities(KubernetesAccessSettings(), lambda: KubeClient.at("http://127.0.0.1:9", own), clock)

    with pytest.raises(RetryLater, match=r"POST http://127.0.0.1:9/apis/authentication.k8s.io/v1/tokenreviews: "):
        away.ask(b"token")
