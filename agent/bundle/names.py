"""Names replaced by others, the same everywhere: in keys, facts and documents, and inside lines of log.

Known names (what batches and inventory call things) are gathered first and numbered in their own order, so that what
was sorted by name stays so. What only looks like a name (a UUID, an address, a host with its domain, a path) is found
in the text itself.
"""

import re
from collections import Counter
from collections.abc import Iterable

SHORT = 4
"""A name of fewer characters is replaced only where it stands by itself: `n1` must not tear up `spawn1`."""
LONGEST = 200
"""Of a name, characters; what is longer is no name."""
_FORMS = {
    "cluster": "cluster-{:04d}",
    "node": "node-{:04d}",
    "gpu": "GPU-00000000-0000-4000-8000-{:012d}",
    "namespace": "namespace-{:04d}",
    "job": "job-{:04d}",
    "pod": "pod-{:04d}",
    "rack": "rack-{:04d}",
    "switch": "domain-{:04d}",
    "pool": "pool-{:04d}",
    "boot": "boot-{:04d}",
    "spool": "spool-{:04d}",
    "other": "name-{:04d}",
}
"""By kind of thing. One name borne by things of two kinds gets the first kind's form."""

_PLAIN_WORDS = """
checkpoint checkpoints ckpt ckpts step steps global iter iters iteration epoch epochs model optim optimizer
rank latest last final state states shard shards usr lib opt local python site dist packages torch utils nn
distributed cuda nccl dev proc var log logs tmp mnt home root bin kernel driver nvidia init main train run
runs data py pt pth so json safetensors distcp elastic multiprocessing autograd workspace
"""
_PLAIN = frozenset(_PLAIN_WORDS.split())
"""Parts of a path that say nothing about anybody."""
_HEX = r"[0-9a-f]{1,4}"
_HOST = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_LIKE_NAMES = (
    ("url", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>]+"),
    ("uuid", r"(?:GPU-|MIG-)?\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("path", r"(?<![\w./-])/(?:[\w.@+=-]+/)*[\w.@+=-]+"),
)
_AFTER_NAMES = (
    ("mail", r"\b[\w.+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*"),
    ("ip", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
    ("ipv6", rf"(?<![\w:])(?:(?:{_HEX}:){{1,7}}(?::{_HEX}){{1,6}}|(?:{_HEX}:){{7}}{_HEX})(?![\w:])"),
    ("host", rf"\b{_HOST}(?:\.{_HOST})*\.(?:svc|local|internal|lan|corp|cloud|com|net|org|io|edu|gov|ai|dev)\b"),
    ("spoken", rf"(?<=host=){_HOST}|(?<=hostname=){_HOST}|(?<=host: ){_HOST}|(?<=hostname: ){_HOST}"),
    ("nccl", rf"(?:(?<=^)|(?<=\s)){_HOST}(?=:\d+:\d+ \[\d+\] NCCL)"),
)
_FOUND = {"url": "url-{:04d}", "uuid": "00000000-0000-4000-9000-{:012d}", "mail": "person-{:04d}", "ip": "ip-{:04d}"}
_PIECE = re.compile(r"[^_\-.\d]+")


class Names:
    """`note` all, then `settle`, then ask. The same name always gives the same replacement."""

    def __init__(self) -> None:
        self._noted: dict[str, set[str]] = {kind: set() for kind in _FORMS}
        self._new: dict[str, str] = {}
        self._lowered: dict[str, str] = {}
        self._found: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()
        self._pattern = re.compile("(?!)")
        self._known = re.compile("(?!)")

    def note(self, kind: str, name: str) -> None:
        """Something is called so; numbers and empty names are no names. Of an id with slashes each part is one."""
        for part in name.split("/"):
            if part and not part.isdigit() and len(part) <= LONGEST:
                self._noted[kind].add(part)

    def settle(self) -> None:
        """All names are known: number them."""
        for kind, form in _FORMS.items():
            for number, name in enumerate(sorted(self._noted[kind] - self._new.keys()), 1):
                self._new[name] = form.format(number)
                self._lowered.setdefault(name.lower(), self._new[name])
        long = [re.escape(name) for name in self._lowered if len(name) >= SHORT]
        short = [rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])" for name in self._lowered if len(name) < SHORT]
        known = "|".join(part for part in (_trie(long), *short) if part) or "(?!)"
        groups = (*_LIKE_NAMES, ("known", known), *_AFTER_NAMES)
        flags = re.IGNORECASE | re.MULTILINE
        self._pattern = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in groups), flags)
        self._known = re.compile(known, flags)

    def id(self, text: str) -> str:
        """The replacement of a key; of one with slashes, part by part."""
        new = self._new.get(text)
        if new is not None:
            return new
        if "/" in text:
            return "/".join(self.id(part) for part in text.split("/"))
        return text if text.isdigit() else self.text(text)

    def whole(self, text: str) -> str:
        """The replacement of a text that is one known name; any other text as it is."""
        return self._new.get(text, text)

    def text(self, text: str) -> str:
        """The text with every name in it replaced."""
        return self._pattern.sub(self._replace, text) if text else text

    def _replace(self, match: "re.Match[str]") -> str:
        kind, said = str(match.lastgroup), match[0]
        new = self._lowered.get(said.lower())
        if new is not None:
            return new
        if kind == "path":
            return "/".join(self._part(part) for part in said.split("/"))
        if kind == "ipv6":
            kind = "ip"
        form = _FOUND.get(kind, "host-{:04d}")
        return self._number(kind if kind in _FOUND else "host", said.lower(), form)

    def _part(self, part: str) -> str:
        """One part of a path."""
        if all(piece.lower() in _PLAIN for piece in _PIECE.findall(part)):
            return part
        whole = self._lowered.get(part.lower())
        if whole is not None:
            return whole
        stem, dot, ending = part.rpartition(".")
        kept = f".{ending}" if dot and ending.lower() in _PLAIN else ""
        return self._number("part", stem if kept else part, "part-{:04d}") + kept

    def _number(self, kind: str, said: str, form: str) -> str:
        new = self._found.get((kind, said))
        if new is None:
            self._counts[kind] += 1
            new = self._found[kind, said] = form.format(self._counts[kind])
        return new


class _Node(dict[str, "_Node"]):
    """A beginning that words share, and what follows it; the empty key: a word ends here."""


def _trie(words: Iterable[str]) -> str:
    """One pattern for many words that share beginnings: an alternation would try each at every character."""
    root = _Node()
    for word in words:
        at = root
        for piece in re.findall(r"\\?.", word, re.DOTALL):
            at = at.setdefault(piece, _Node())
        at[""] = _Node()
    return _rendered(root) if root else ""


def _rendered(node: _Node) -> str:
    ends = "" in node
    ways = [piece + _rendered(below) for piece, below in node.items() if piece]
    if not ways:
        return ""
    one = ways[0] if len(ways) == 1 and not ends else f"(?:{'|'.join(ways)})"
    return f"{one}?" if ends else one
