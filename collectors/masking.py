"""Takes secrets and control characters out of log text before it leaves the node.

Only known shapes are found: masking is a net under careful logging, not a substitute for it. Every pattern runs in
linear time on hostile text: what follows a fixed start is one character class that either succeeds and is consumed,
or cannot reach past the next place where the same pattern may start.
"""

import re

MASK = "[masked]"
LINE_CHARACTERS = 1000
"""The longest piece of evidence that an event carries."""

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])?|\x9b[0-?]*[ -/]*[@-~]"
)
# Control characters, and the invisible ones that turn or hide text on a screen.
_INVISIBLE = {
    code: None
    for first, last in (
        (0x00, 0x08),
        (0x0E, 0x1F),
        (0x7F, 0x9F),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0xD800, 0xDFFF),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
} | dict.fromkeys((0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029), " ")

_NAMES = r"passw(?:or)?d|passphrase|pwd|secret|credentials?|(?:api|access|account|private|secret|signing|auth)[_-]?key"
_NEEDLES = ("pass", "pwd", "secret", "credential", "key")
_QUOTE = r"""[\\"']{0,3}"""
_IS = r"\s{0,3}[=:]\s{0,3}"
_VALUE = r"""(?:\\?"[^"]+"?|\\?'[^']+'?|[^\s"',;&]+)"""
_NUMBER = rf"""{_QUOTE}[\d.,]{{1,24}}(?:[\s"',;&}})\]]|\Z)"""
_PEM = "-----{} [A-Z0-9 ]{{0,40}}PRIVATE KEY[A-Z ]{{0,10}}-----"
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (needles, re.compile(pattern), replacement)
    for needles, pattern, replacement in (
        (("private key",), rf"(?s){_PEM.format('BEGIN')}.*?(?:{_PEM.format('END')}|\Z)", MASK),
        (("://",), r"://[^\s/@]+@", f"://{MASK}@"),
        (("bearer", "basic"), r"(?i)\b(bearer|basic)\s{1,4}[a-z0-9._~+/=-]{8,}", rf"\1 {MASK}"),
        (("eyj",), r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", MASK),
        (("akia", "asia", "aroa", "aida"), r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", MASK),
        (("aiza",), r"\bAIza[\w-]{30,}", MASK),
        (("ya29.",), r"\bya29\.[\w-]{20,}", MASK),
        (("hf_",), r"hf_[A-Za-z0-9]{16,}", MASK),
        (("sk-",), r"\bsk-[\w-]{16,}", MASK),
        (("gh",), r"gh[opsur]_[A-Za-z0-9]{16,}", MASK),
        (("github_pat_",), r"github_pat_\w{16,}", MASK),
        (("glpat-",), r"\bglpat-[\w-]{16,}", MASK),
        (("xox",), r"\bxox[a-z]-[A-Za-z0-9-]{8,}", MASK),
        (("xapp-",), r"\bxapp-[A-Za-z0-9-]{8,}", MASK),
        (("hooks.slack",), r"(hooks\.slack\.com/services/)[\w/]+", rf"\1{MASK}"),
        # name = "value in quotes", name: value; the name may be the end of a longer one (WANDB_API_KEY).
        (_NEEDLES, rf"(?i)((?:{_NAMES}){_QUOTE}{_IS}){_VALUE}", rf"\1{MASK}"),
        # A token that is a plain number is a count, an id or a price, not a secret.
        (("token",), rf"(?i)(token{_QUOTE}{_IS})(?!{_NUMBER}){_VALUE}", rf"\1{MASK}"),
        (("--",), rf"(?i)((?<!\S)--[a-z-]{{0,24}}(?:{_NAMES}|token)\s{{1,3}})[^\s-]\S*", rf"\1{MASK}"),
    )
)
"""(words of which one must occur in the lower-cased text, pattern, replacement): few lines need a pattern at all."""


def mask(text: str) -> str:
    """The text with every secret of a known shape replaced by `[masked]`.

    >>> mask("cloning https://me:hunter2@example.com/repo with HF_TOKEN=hf_abcdefghijklmnopqrst")
    'cloning https://[masked]@example.com/repo with HF_TOKEN=[masked]'
    """
    lowered = text.lower()
    for needles, pattern, replacement in _SHAPES:
        for needle in needles:  # a plain loop: any() with a generator takes three times as long
            if needle in lowered:
                text = pattern.sub(replacement, text)
                break
    return text


def strip_control(text: str) -> str:
    """The text without ANSI sequences, control characters and invisible ones; tabs and line breaks become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return _ANSI.sub("", text).translate(_INVISIBLE)


def evidence(text: str, characters: int = LINE_CHARACTERS) -> str:
    """A line as an event may carry it: printable, masked, at most `characters` long."""
    text = mask(strip_control(text)).strip()
    return text if len(text) <= characters else text[: characters - 1] + "…"
