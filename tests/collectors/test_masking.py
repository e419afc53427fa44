"""Secrets of known shapes never leave the node; hostile text costs linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.masking import MASK, evidence, mask, strip_control

SECRETS = [
    pytest.param("AKIAIOSFODNN7EXAMPLE", id="aws-key-id"),
    pytest.param("ASIAIOSFODNN7EXAMPLE", id="aws-session-key-id"),
    pytest.param("AIzaSyA-1234567890abcdefghijklmnopqrstu", id="gcp-api-key"),
    pytest.param("ya29.a0AfH6SMBx1234567890abcdefgh", id="gcp-token"),
    pytest.param("hf_abcdefghijklmnopqrstuvwxyzABCDEF", id="hugging-face"),
    pytest.param("sk-proj-abcdefghijklmnopqrst_uvwxyz", id="openai"),
    pytest.param("sk-ant-api03-abcdefghijklmnopqrstuv", id="anthropic"),
    pytest.param("ghp_abcdefghijklmnopqrstuvwxyz0123456789", id="github"),
    pytest.param("ghs_abcdefghijklmnopqrstuvwxyz0123456789", id="github-server"),
    pytest.param("github_pat_11ABCDEFG0abcdefghijkl_mnop", id="github-fine"),
    pytest.param("glpat-abcdefghijklmnopqrst", id="gitlab"),
    pytest.param("xoxb-123456789012-abcdefghijkl", id="slack"),
    pytest.param("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", id="jwt"),
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around",
    ["{}", "using {} now", "key={}", "'{}'", '{{"k": "{}"}}', "https://x.example/{}?a=1", "({})"],
    ids=["alone", "prose", "assigned", "quoted", "json", "url", "brackets"],
)
def test_a_secret_of_a_known_shape_is_masked_wherever_it_stands(secret: str, around: str):
    masked = mask(around.format(secret))

    assert secret not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdef0123456789", f"Authorization: Bearer {MASK}"),
        ("authorization: basic dXNlcjpwYXNz", f"authorization: basic {MASK}"),
        ("password=hunter2", f"password={MASK}"),
        ("DB_PASSWORD: hunter2, port: 5432", f"DB_PASSWORD: {MASK}, port: 5432"),
        ("{'password': 'hunter 2', 'x': 1}", f"{{'password': {MASK}, 'x': 1}}"),
        ('{\\"passwd\\": \\"hunter 2\\"}', f'{{\\"passwd\\": {MASK}}}'),
        ("WANDB_API_KEY=0123456789abcdef", f"WANDB_API_KEY={MASK}"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", f"AWS_SECRET_ACCESS_KEY={MASK}"),
        ("token=abc123def", f"token={MASK}"),
        ("--token abc123def --lr 1", f"--token {MASK} --lr 1"),
        ("--wandb-api-key 0123", f"--wandb-api-key {MASK}"),
        ("postgresql://me:hunter2@db:5432/x", f"postgresql://{MASK}@db:5432/x"),
        ("https://hooks.slack.com/services/T0/B0/abc", f"https://hooks.slack.com/services/{MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- after", f"{MASK} after"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", MASK),
    ],
)
def test_a_secret_that_is_named_is_masked_and_its_name_stays(text: str, expected: str):
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "consumed tokens:  97850851328 | lm loss: 5.1",
        "tokens_per_second=26,668",
        "throughput/token: 4096, x",
        "{'loss': 3.5534, 'grad_norm': 1.41, 'learning_rate': 2e-06}",
        "https://docs.example.com/a/b?page=2",
        "NVRM: Xid (PCI:0000:18:00): 31, pid=406, name=python3, channel 0x0000000a",
        "step: 14  loss:  3.24405  tps: 7,282",
        "the keyboard is in the basic set",
        "--keep going --max-tokens 4096",
    ],
)
def test_ordinary_lines_are_left_as_they_are(text: str):
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m \x1b[38;2;180;60;0mtrue\x1b[39m", "red true"),
        ("\x1b]0;title\x07text", "text"),
        ("a\tb\nc\r\nd", "a b c  d"),
        ("nul\x00 bell\x07 del\x7f c1\x9b0m", "nul bell del c1"),
        ("abc\u202edef\u200bghi\ufeff", "abcdefghi"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_colours_controls_and_invisible_characters_are_taken_out(text: str, expected: str):
    assert strip_control(text) == expected


def test_a_secret_broken_up_by_colour_codes_is_still_masked():
    assert "hunter2" not in evidence("password=\x1b[31mhun\x1b[0mter2")


def test_evidence_is_cut_after_masking_so_that_no_half_secret_remains():
    text = "x" * 980 + " token=abcdefghijklmnopqrstuvwxyz"

    assert "abc" not in evidence(text)
    assert len(evidence("y" * 5000)) == 1000


UNITS = [
    "eyJ",
    "eyJaaaaaaaa.",
    "sk-",
    "://",
    "://a",
    "password=",
    'password="',
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN RSA ",
    "-",
    " --a",
    "token ",
    "token=1",
    "\x1b[",
    "\x1b]",
    "\x9b1",
    "bearer ",
    "ghp_",
    'token"',
    "a",
    "pwd:'",
    "AKIA",
    "xoxb-",
]


def seconds(text: str) -> float:
    began = time.process_time()
    evidence(text)
    return time.process_time() - began


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_text_costs_linear_time(unit: str):
    """Sixteen times the text may cost a hundred times the time, which a square law (256 times) cannot keep to."""
    short, long = unit * (20_000 // len(unit)), unit * (320_000 // len(unit))

    assert min(seconds(long) for _ in range(2)) <= 100 * max(0.002, min(seconds(short) for _ in range(3)))


@settings(deadline=None)
@given(st.text(max_size=400))
def test_evidence_of_any_text_is_printable_short_and_has_no_more_to_mask(text: str):
    line = evidence(text)

    assert len(line) <= 1000
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in line)
    assert strip_control(line) == line


@settings(deadline=None)
@given(prefix=st.text(max_size=40), suffix=st.text(max_size=40))
def test_no_surroundings_let_a_token_through(prefix: str, suffix: str):
    assert "hf_abcdefghijklmnopqrst" not in evidence(f"{prefix}hf_abcdefghijklmnopqrst{suffix}")
