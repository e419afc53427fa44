"""Rights, tokens, sessions, host names and failed attempts, each by itself."""

import stat
from pathlib import Path

import pytest

from agent.access.attempts import FailedAttempts
from agent.access.authorise import Allowed, Identity, NodeBinding, Permission, Refused, Role, Target, authorise
from agent.access.hosts import HostList, host_name
from agent.access.sessions import Sessions
from agent.access.tokens import StaticToken, TokenTable, admin_token, open_tokens, read_token
from collectors.errors import FixConfiguration

SECOND_NS = 1_000_000_000
ADMIN = Identity("admin", (Role.ADMIN,))


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (Role.INGEST, {"ingest"}),
        (Role.READ, {"read"}),
        (Role.ACKNOWLEDGE, {"read", "acknowledge"}),
        (Role.APPROVE, {"read", "acknowledge", "approve"}),
        (Role.ADMIN, {"ingest", "read", "acknowledge", "approve", "admin"}),
    ],
)
def test_a_role_grants_what_the_table_says_and_nothing_else(role: Role, permissions: set[str]) -> None:
    identity = Identity("somebody", (role,))

    assert {
        permission.value for permission in Permission if isinstance(authorise(identity, permission), Allowed)
    } == permissions


def test_nobody_is_allowed_nothing() -> None:
    assert {getattr(authorise(None, permission), "status", 200) for permission in Permission} == {401}


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        (None, True),
        (Target(cluster="prod", node="a"), True),
        (Target(cluster="prod", node="b"), False),
        (Target(cluster="other", node="a"), False),
    ],
)
def test_a_token_bound_to_a_node_speaks_of_it_only(target: Target | None, allowed: bool) -> None:
    bound = Identity("node-a", (Role.INGEST,), NodeBinding("prod", "a"))

    assert isinstance(authorise(bound, Permission.INGEST, target), Allowed) is allowed


@pytest.mark.parametrize("permission", [Permission.READ, Permission.ACKNOWLEDGE, Permission.ADMIN])
def test_a_token_bound_to_a_node_does_nothing_but_send(permission: Permission) -> None:
    bound = Identity("node-a", (Role.ADMIN,), NodeBinding("prod", "a"))

    assert isinstance(authorise(bound, permission), Refused)


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        pytest.param(Target(namespace="team-a"), True, id="its-own"),
        pytest.param(Target(namespace="team-b"), False, id="anothers"),
        pytest.param(Target(), False, id="outside-namespaces"),
        pytest.param(None, False, id="a-door-that-does-not-know"),
    ],
)
def test_who_is_limited_to_namespaces_stays_inside_them(target: Target | None, allowed: bool) -> None:
    limited = Identity("team-a", (Role.READ,), namespaces=("team-a",))

    assert isinstance(authorise(limited, Permission.READ, target), Allowed) is allowed


def test_the_first_start_makes_a_token_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "token"

    token = admin_token(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 43
    assert admin_token(path) == token
    assert [file.name for file in tmp_path.iterdir()] == ["token"]
    assert admin_token(tmp_path / "other") != token


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        pytest.param("x" * 40, 0o644, "chmod 600", id="open-to-everybody"),
        pytest.param("x" * 31, 0o600, "at least 32", id="too-short"),
        pytest.param("", 0o600, "at least 32", id="empty"),
        pytest.param("x" * 40 + "\n" + "y" * 40, 0o600, "at least 32", id="two-lines"),
        pytest.param("é" * 40, 0o600, "at least 32", id="not-ascii"),
        pytest.param("x" * 20_000, 0o600, "at least 32", id="endless"),
    ],
)
def test_a_token_file_that_will_not_do_is_refused_by_name_without_its_content(
    tmp_path: Path, content: str, mode: int, words: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)

    with pytest.raises(FixConfiguration, match=words) as caught:
        read_token(path)
    assert str(path) in str(caught.value)
    assert not content or content not in str(caught.value)


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration, match="nowhere"):
        read_token(tmp_path / "nowhere")


def token_file(folder: Path, name: str, token: str) -> str:
    path = folder / name
    path.write_text(token)
    path.chmod(0o600)
    return str(path)


def test_static_tokens_bring_their_roles_and_bindings(tmp_path: Path) -> None:
    binding = NodeBinding("prod", "a")
    other = StaticToken("node-a", token_file(tmp_path, "a", "a" * 40), (Role.INGEST,), binding)

    table = open_tokens(tmp_path / "token", [other])

    assert table.find(b"a" * 40) == Identity("node-a", (Role.INGEST,), binding)
    assert table.find(admin_token(tmp_path / "token").encode()) == ADMIN
    assert table.find(b"a" * 39) is None
    assert table.find(b"") is None


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        pytest.param([("x", "a", ()), ("y", "b", (Role.READ,))], "roles is empty", id="no-roles"),
        pytest.param([("x", "a", (Role.READ,)), ("x", "b", (Role.READ,))], "name of its own", id="same-name"),
        pytest.param([("admin", "a", (Role.READ,))], "name of its own", id="the-admins-name"),
        pytest.param([("kubernetes:jane", "a", (Role.READ,))], "name of its own", id="a-name-of-the-clusters"),
        pytest.param([("x", "a", (Role.READ,)), ("y", "a", (Role.ADMIN,))], "are the same", id="same-token"),
    ],
)
def test_tokens_that_contradict_each_other_stop_the_start(
    tmp_path: Path, tokens: list[tuple[str, str, tuple[Role, ...]]], words: str
) -> None:
    others = [
        StaticToken(name, token_file(tmp_path, f"{n}", letter * 40), roles)
        for n, (name, letter, roles) in enumerate(tokens)
    ]
    with pytest.raises(FixConfiguration, match=words):
        open_tokens(tmp_path / "token", others)


def test_the_table_holds_no_token_in_the_clear() -> None:
    assert "secret" not in repr(vars(TokenTable([("secret" * 8, ADMIN)])))


def test_a_login_code_works_once() -> None:
    sessions = Sessions(Clock())
    code = sessions.make_code(ADMIN)

    session = sessions.redeem(code)

    assert session is not None
    assert session.identity == ADMIN
    assert sessions.redeem(code) is None
    assert sessions.find(session.id) is session


@pytest.mark.parametrize(("seconds", "works"), [(299, True), (300, False)])
def test_a_login_code_lapses(seconds: int, works: bool) -> None:
    clock = Clock()
    sessions = Sessions(clock, link_seconds=300)
    code = sessions.make_code(ADMIN)
    clock.now_ns += seconds * SECOND_NS

    assert (sessions.redeem(code) is not None) is works


def test_a_session_ends_by_time_and_by_logout() -> None:
    clock = Clock()
    sessions = Sessions(clock, session_seconds=60)
    first, second = (sessions.redeem(sessions.make_code(ADMIN)) for _ in range(2))
    assert first is not None
    assert second is not None

    sessions.end(first.id)
    assert sessions.find(first.id) is None
    clock.now_ns += 60 * SECOND_NS
    assert sessions.find(second.id) is None


def test_secrets_do_not_show_in_a_sessions_repr() -> None:
    sessions = Sessions(Clock())
    session = sessions.redeem(sessions.make_code(ADMIN))

    assert session is not None
    assert session.id not in repr(session)
    assert session.csrf_token not in repr(session)


@pytest.mark.parametrize(
    ("host", "arrived_at", "status"),
    [
        ("localhost:8480", "127.0.0.1", None),
        ("127.0.0.1", "127.0.0.1", None),
        ("[::1]:8480", "::1", None),
        ("Agent.Example.org:443", "10.0.0.7", None),
        ("agent.example.org.", "10.0.0.7", None),
        ("10.0.0.7:8480", "10.0.0.7", None),
        ("10.0.0.8:8480", "10.0.0.7", 421),
        ("evil.example", "127.0.0.1", 421),
        ("agent.example.org.evil.example", "127.0.0.1", 421),
        (None, "127.0.0.1", 400),
        ("", "127.0.0.1", 400),
        ("localhost:", "127.0.0.1", 400),
        ("localhost:99999999", "127.0.0.1", 400),
        ("local host", "127.0.0.1", 400),
        ("localhost/evil", "127.0.0.1", 400),
        ("user@localhost", "127.0.0.1", 400),
        ("[::1", "::1", 400),
        ("[evil]", "::1", 400),
        ("löcalhost", "127.0.0.1", 400),
    ],
)
def test_only_our_own_host_names_are_answered(host: str | None, arrived_at: str, status: int | None) -> None:
    said = HostList(["agent.example.org"]).refusal(host, arrived_at)

    assert (said[0] if said else None) == status


def test_a_host_is_taken_apart() -> None:
    assert [host_name(host) for host in ("A.b:1", "[fe80::1]:2", "x")] == ["a.b", "fe80::1", "x"]


def test_failures_are_slowed_down_per_address_and_forgiven_with_time() -> None:
    clock = Clock()
    attempts = FailedAttempts(clock, per_minute=3)

    assert [attempts.fail("a") for _ in range(4)] == [0, 0, 0, 20]
    assert attempts.fail("b") == 0
    clock.now_ns += 20 * SECOND_NS
    assert [attempts.fail("a") for _ in range(2)] == [0, 20]
    assert attempts.failures == 7
