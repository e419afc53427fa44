"""Strings kept once."""

import pytest

from agent.inventory import sharing
from agent.inventory.sharing import share


def test_the_same_text_is_one_object() -> None:
    one, other = "".join(["no", "de-1"]), "".join(["node", "-1"])

    assert (one is other, share(one) is share(other)) == (False, True)


def test_the_pool_begins_anew_before_it_grows_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_pool", {})
    monkeypatch.setattr(sharing, "MOST", 10)
    kept = [share(f"uid-{n}") for n in range(95)]

    assert (kept, len(sharing._pool) <= 10) == ([f"uid-{n}" for n in range(95)], True)
