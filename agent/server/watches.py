"""Makes the watches of an agent: a live one goes on from what the store says was open."""

import logging
from collections.abc import Callable
from functools import partial

from agent.inventory.feed import InventoryFeed
from agent.learning import BackgroundFits
from agent.server.policy_file import PolicyFile
from agent.server.spaces import Watching
from agent.settings import StepsSettings
from agent.store.store import Store
from agent.watch import Watch
from collectors.errors import RetryLater
from collectors.model import LIVE_ONLY, Origin
from policies.cluster.restart_job import can_restart
from policies.model import ActionKind, Mode

_log = logging.getLogger(__name__)


def watch_maker(
    store: Store,
    feed: InventoryFeed | None = None,
    *,
    as_live: frozenset[Origin] = LIVE_ONLY,
    policy: PolicyFile | None = None,
    mode: Mode = Mode.AUDIT,
    steps: StepsSettings | None = None,
) -> Callable[[Origin, str], Watching]:
    """For `Spaces`. What is not live begins empty: it is played from its beginning.

    `feed` tells the live watch over its cluster what file and Kubernetes API know, and has the view of that cluster
    which guards ask; `as_live`: origins taken for live. `policy` in `mode` decides what is taken for live; the rest is
    decided by it in audit. `steps`: what the agent has the means for.
    """
    steps = steps or StepsSettings()
    lacking = {
        kind: f"no template is set (steps.{kind.value})"
        for kind in (ActionKind.RESET_GPU, ActionKind.REBOOT_NODE)
        if not getattr(steps, kind.value)
    }

    def make(origin: Origin, cluster: str) -> Watch:
        live = origin in as_live
        own = feed if feed is not None and live and cluster == feed.settings.cluster else None
        watch = Watch(
            origin,
            cluster,
            fits=BackgroundFits() if live else None,
            told=own.subscribe().apply if own is not None else None,
            view=(lambda: own.cluster) if own is not None else None,
            as_live=as_live,
            policy=policy.policy if policy is not None else None,
            mode=mode,
            can_restart=partial(can_restart, switched_on=steps.unproven),
            lacking=lacking,
        )
        if live:
            try:
                _restore(watch, store, origin, cluster)
            except RetryLater as error:
                _log.error("the watch over %s begins without what was open before: %s", cluster, error)
        return watch

    return make


def _restore(watch: Watch, store: Store, origin: Origin, cluster: str) -> None:
    incidents, apart = store.restorable(cluster, origin)
    findings = {
        finding.id: finding
        for finding in store.open_findings()
        if finding.origin is origin and finding.subject.cluster == cluster
    }
    members = [id_ for incident in incidents for id_ in incident.findings]
    findings.update((finding.id, finding) for finding in store.findings(members))
    # those of resolved incidents too: what was done about them may have to be taken back
    decisions = [decision for incident in incidents for decision in store.decisions(incident.id)]
    attempts = store.attempts(cluster=cluster, origin=origin)
    watch.restore(findings.values(), incidents, decisions, attempts, apart=apart)
