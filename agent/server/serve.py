"""Runs the agent under uvicorn until SIGTERM or SIGINT, and ends it in order."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import uvicorn
import uvloop
from starlette.routing import Route

from agent.access.access import Access
from agent.access.attempts import FailedAttempts
from agent.access.authorise import Identity, Role
from agent.access.hosts import LOOPBACK_NAMES, HostList, host_name
from agent.access.kubernetes import KubernetesIdentities
from agent.access.sessions import Sessions
from agent.access.tokens import open_tokens
from agent.cluster.connect import kube_client
from agent.cluster.view import LiveCluster, cluster_of
from agent.cluster.word_book import WordBook
from agent.inventory.feed import feed_of
from agent.server.agent import Agent
from agent.server.app import ASGI
from agent.server.as_live import as_live_of
from agent.server.data_folder import DataFolder, write_file
from agent.server.policy_file import PolicyFile
from agent.server.protocol import BoundedProtocol
from agent.server.spaces import Watching
from agent.server.watches import watch_maker
from agent.settings import ListenSettings, Settings
from agent.store.store import open_store
from collectors.errors import FixConfiguration
from collectors.model import Origin
from collectors.struct_types import learn_structs

Clock = Callable[[], int]
MakeWatch = Callable[[Origin, str], Watching]
OnStop = Callable[[Callable[[], None]], None]

KEEP_ALIVE_SECONDS = 75
"""Longer than the interval at which collectors send, so that each keeps its connection."""
DRAIN_SECONDS = 10
"""How long answers under way may take when the agent stops."""
MOST_CONNECTIONS = 30_000


class Server(uvicorn.Server):
    """uvicorn's server, ended by our own signal handlers: its own would kill the process after the last answer."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def server_for(app: ASGI, settings: ListenSettings) -> Server:
    """A server of `app` with bounds on what one connection may cost; FixConfiguration for TLS files that do not fit."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,  # it would write login codes into the log
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # anybody on this host could name another address
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        files = f"{settings.tls_certificate} and {settings.tls_key}"
        raise FixConfiguration(f"TLS: {files} cannot be used ({error}); both must be PEM and fit together") from None
    return Server(config)


def parse_address(settings: ListenSettings) -> tuple[str, int]:
    """Host and port to listen on; FixConfiguration where it is none, or would send tokens in the clear."""
    host, colon, port = settings.address.rpartition(":")
    name = host_name(host) if host else None
    if not colon or name is None or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise FixConfiguration(f"listen address {settings.address!r}: write host:port, such as 127.0.0.1:8480")
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise FixConfiguration("TLS needs both listen.tls_certificate and listen.tls_key")
    if not (settings.tls_certificate or settings.behind_tls_proxy or _is_loopback(name)):
        raise FixConfiguration(
            f"{settings.address} is no loopback address: tokens would travel in the clear; set listen.tls_certificate"
            " and listen.tls_key, or say --behind-tls-proxy"
        )
    return name, int(port)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; FixConfiguration where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise FixConfiguration(f"cannot listen on {host}:{port}: {error.strerror}; choose another --listen") from None
    return listener


def run(
    settings: Settings,
    data: Path,
    *,
    make_watch: MakeWatch | None = None,
    port_file: Path | None = None,
    announce: Callable[[str], None] = print,
    clock: Clock = time.time_ns,
    on_stop: OnStop | None = None,
    routes: list[Route] | None = None,
) -> None:
    """Serve until told to stop. Raises FixConfiguration before it serves anything.

    `on_stop` is handed the function that ends it, callable from any thread; without one, signals call it.
    `make_watch` and `routes` replace the real watch and those that are found in the packages of routes.
    """
    host, port = parse_address(settings.listen)
    as_live = as_live_of(settings)
    policy = PolicyFile(settings.policy.file)
    folder = DataFolder(data)
    try:
        sessions = Sessions(
            clock,
            link_seconds=settings.access.login_link_seconds,
            session_seconds=settings.access.session_seconds,
        )
        cluster = cluster_of(settings, clock)
        access = Access(
            open_tokens(folder.token, settings.access.tokens),
            sessions,
            FailedAttempts(clock, settings.access.failures_per_minute),
            HostList((*settings.listen.hosts, *(() if _is_any(host) else (host,)))),
            secure_cookies=bool(settings.listen.tls_certificate) or settings.listen.behind_tls_proxy,
            kubernetes=_kubernetes(settings, clock, cluster),
        )
        feed = feed_of(settings.inventory, dict(os.environ), cluster)
        learn_structs()
        store = open_store(settings.store.url or folder.store_url)
        words = WordBook(store)
        words.start()
        try:
            if cluster is not None:
                cluster.remember(words, store.journal.taken)
            if feed is not None:
                feed.start()
            agent = Agent(
                settings,
                folder,
                store,
                access,
                clock=clock,
                timer=time.perf_counter,
                make_watch=make_watch
                or watch_maker(
                    store,
                    feed,
                    as_live=as_live,
                    policy=policy,
                    mode=settings.policy.mode,
                    steps=settings.steps,
                ),
                routes=routes,
                policy=policy,
                cluster=cluster,
            )
            server = server_for(agent.app, settings.listen)
            with bind(host, port) as listener:
                port = listener.getsockname()[1]
                scheme = "https" if settings.listen.tls_certificate else "http"
                shown = "localhost" if _is_any(host) else f"[{host}]" if ":" in host else host
                url = f"{scheme}://{shown}:{port}"

                def ready() -> None:
                    folder.write_address(url)
                    if port_file is not None:
                        write_file(port_file, f"{port}\n".encode())
                    announce(f"watchstander agent listens on {url}")
                    code = sessions.make_code(Identity("admin", (Role.ADMIN,)))
                    announce(f"log in, once, within {_minutes(settings)}: {url}/login?code={code}")

                learn_structs()  # those of routes and of what else was imported since
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_serve(agent, server, listener, ready, on_stop or _on_signals))
        finally:
            if feed is not None:
                feed.stop()
            words.stop()
            store.close()
            folder.forget_address()
    finally:
        folder.close()


async def _serve(
    agent: Agent, server: Server, listener: socket.socket, ready: Callable[[], None], on_stop: OnStop
) -> None:
    def stop() -> None:
        server.should_exit = True

    on_stop(stop)
    await agent.start()
    try:
        ready()
        await server.serve(sockets=[listener])
    finally:
        await agent.stop()


def _kubernetes(settings: Settings, clock: Clock, cluster: LiveCluster | None) -> KubernetesIdentities | None:
    """Who people are to the API server, where the settings want it asked."""
    if not settings.access.kubernetes.enabled:
        return None

    def node_uid(name: str) -> str:
        node = cluster.node_named(name) if cluster is not None else None
        return node.uid if node is not None else ""

    seconds = settings.access.kubernetes.request_seconds
    return KubernetesIdentities(
        settings.access.kubernetes,
        partial(kube_client, settings.inventory, os.environ, read_seconds=seconds),
        clock,
        cluster=settings.inventory.cluster,
        namespaces=cluster.namespaces if cluster is not None else tuple,
        node_uid=node_uid,
    )


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _is_loopback(name: str) -> bool:
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _minutes(settings: Settings) -> str:
    return f"{settings.access.login_link_seconds / 60:g} min"
