"""The policy file as the agent follows it: read at the start, again when it changes; a wrong one changes nothing."""

import logging
from collections.abc import Callable
from pathlib import Path

from collectors.errors import FixConfiguration
from policies.rules import Policy, default_policy, load_policy

_log = logging.getLogger(__name__)


class PolicyFile:
    """One file. `poll` from one thread at a time; everything else from any."""

    def __init__(self, file: str = "", adopted: Callable[[Policy], None] | None = None) -> None:
        """`file`: path; empty means the policy that ships, which never changes. FixConfiguration where it is wrong.

        `adopted` hears of each policy that takes the place of another.
        """
        self._path = Path(file) if file else None
        self._seen = self._signature()
        self._adopted = adopted
        self.policy: Policy = load_policy(self._path) if self._path is not None else default_policy()
        self.problem = ""
        """Why the file as it is now is not in force, in one line; empty where it is."""
        self.reloads = 0
        self.refused = 0

    def on_change(self, adopted: Callable[[Policy], None]) -> None:
        """Who hears of a new policy."""
        self._adopted = adopted

    def poll(self) -> None:
        """Look whether it has changed; adopt it where it is right, keep the old one where it is wrong."""
        if self._path is None:
            return
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            policy = load_policy(self._path)
        except FixConfiguration as error:
            self.refused += 1
            self.problem = f"policy: {error}; the one before stays in force"
            _log.error("%s", self.problem)
            return
        self.problem = ""
        if policy.digest == self.policy.digest:
            return
        self.policy = policy
        self.reloads += 1
        _log.info("policy %s: %d rules, sha256 %s, in force", self._path, len(policy.rules), policy.digest[:12])
        if self._adopted is not None:
            self._adopted(policy)

    def _signature(self) -> tuple[int, int, int]:
        """What changes when a file is written or another is put in its place; zeros where there is none."""
        if self._path is None:
            return (0, 0, 0)
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)
