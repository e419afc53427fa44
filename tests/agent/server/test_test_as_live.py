"""Origin `test` is taken for live by an agent that was told so on a test cluster, and by no other."""

import time
from pathlib import Path

import msgspec
import pytest
from migrated_stores import migrated
from running_agent import RunningAgent, SmallWatch, make_batch, numbered_event, wait_for

from agent.server.as_live import as_live_of
from agent.server.checkpoint import load_checkpoint
from agent.server.spaces import Spaces, name_of
from agent.server.watches import watch_maker
from agent.settings import InventorySettings, ListenSettings, Settings, StoreSettings, WatchSettings
from agent.store.store import open_store
from agent.watch import Watch
from collectors.errors import FixConfiguration
from collectors.model import LIVE_ONLY, EventKind, Origin

WITH_TEST = LIVE_ONLY | {Origin.TEST}
HOUR_NS = 3600 * 10**9


def settings_at(url: str, *, on: bool = True) -> Settings:
    return Settings(watch=WatchSettings(test_as_live=on), inventory=InventorySettings(kubernetes_url=url))


def on_a_free_port(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, listen=ListenSettings("127.0.0.1:0"))


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443", "http://127.0.0.7:8001"]
)
def test_a_test_is_taken_for_live_beside_an_api_server_on_loopback(url: str) -> None:
    assert as_live_of(settings_at(url)) == WITH_TEST


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://10.0.0.1:443",
        "https://kubernetes.default.svc",
        "https://localhost.example.org:6443",
        "https://127.0.0.1.example.org",
        "https://127.0.0.1@10.0.0.1",
        "https://0.0.0.0:6443",
        "https://[::1",
        "127.0.0.1:6443",
    ],
)
def test_the_agent_does_not_start_so_beside_any_other_api_server(tmp_path: Path, url: str) -> None:
    with pytest.raises(FixConfiguration, match="test_as_live") as caught:
        RunningAgent(tmp_path / "data", settings_at(url)).start()

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_the_setting_only_live_is_live() -> None:
    assert as_live_of(settings_at("https://127.0.0.1:6443", on=False)) == LIVE_ONLY


@pytest.mark.parametrize(("as_live", "late_ns"), [(LIVE_ONLY, HOUR_NS), (WITH_TEST, 0)], ids=["as-told", "as-live"])
def test_a_test_that_is_taken_for_live_goes_by_the_agents_clock(as_live: frozenset[Origin], late_ns: int) -> None:
    spaces = Spaces(lambda _origin, _cluster: SmallWatch(), as_live=as_live)
    batch = make_batch(origin=Origin.TEST, sent_ns=HOUR_NS)

    spaces.space_for(batch).receive(batch, 2 * HOUR_NS)

    (space,) = spaces.all()
    assert 2 * HOUR_NS - space.now_ns == late_ns
    assert [one.key for one in spaces.live()] == ([space.key] if as_live is WITH_TEST else [])


def test_live_and_test_of_one_cluster_have_clocks_of_their_own_in_the_checkpoint() -> None:
    assert len({name_of((origin, "prod")) for origin in Origin}) == len(Origin)
    assert name_of((Origin.LIVE, "prod")) == "prod"


@pytest.mark.parametrize("agent_settings", [settings_at("https://127.0.0.1:6443")], ids=["as-live"])
def test_time_passes_and_the_checkpoint_moves_on_for_a_test_that_is_taken_for_live(
    tmp_path: Path, agent_settings: Settings
) -> None:
    settings = msgspec.structs.replace(agent_settings, store=StoreSettings(checkpoint_seconds=0.05))
    running = RunningAgent(tmp_path / "data", on_a_free_port(settings)).start()
    try:
        event = numbered_event(1, time.time_ns(), EventKind.EVALUATION_END)
        running.send(make_batch(1, origin=Origin.TEST, events=(event,)))
        path = running.data / "checkpoint"
        name = name_of((Origin.TEST, "prod"))
        # nothing more is sent: the agent's own clock brings the next tick of the watch's 5 s grid
        wait_for(lambda: path.exists() and name in load_checkpoint(path).ticked_ns, "a checkpoint")
        first = load_checkpoint(path).ticked_ns[name]
        wait_for(lambda: load_checkpoint(path).ticked_ns[name] > first, "the next one")
    finally:
        running.stop()


def test_a_clock_that_is_far_ahead_is_refused_of_a_test_that_is_taken_for_live(tmp_path: Path) -> None:
    answers = {}
    for name, settings in (("as told", Settings()), ("as live", settings_at("https://127.0.0.1:6443"))):
        running = RunningAgent(tmp_path / name, on_a_free_port(settings)).start()
        try:
            batch = make_batch(origin=Origin.TEST, sent_ns=time.time_ns() + 2 * HOUR_NS)
            answers[name] = running.send(batch)[0]
        finally:
            running.stop()

    assert answers == {"as told": 200, "as live": 422}


@pytest.mark.parametrize(("as_live", "restored"), [(LIVE_ONLY, False), (WITH_TEST, True)], ids=["as-told", "as-live"])
def test_what_was_open_is_taken_up_again_for_a_test_that_is_taken_for_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_live: frozenset[Origin], restored: bool
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Watch, "restore", lambda _self, *said, **more: asked.append(said))
    store = open_store(migrated(tmp_path / "a.db"))
    try:
        watch_maker(store, as_live=as_live)(Origin.TEST, "prod")
    finally:
        store.close()

    assert bool(asked) is restored
