"""The card's five sentences, whom it blames, and what it gives to paste: by rules, and honest where nothing tells."""

from collections.abc import Callable

import msgspec
import pytest
import yaml
from jobs_story import T0, S, fault

from agent.jobs.card import cards_of, gpu_time
from agent.jobs.exclude import exclude_snippet
from agent.jobs.record import AttemptRecord, AttemptState, Checkpoint, JobNode, SaveState
from agent.jobs.verdict import Blame, judge
from detectors.model import FindingKind

K = FindingKind
Make = Callable[..., AttemptRecord]


def test_five_sentences_answer_the_five_questions(attempt: Make) -> None:
    """A rank that was killed: why, cost, whether, whence, without whom."""
    [card] = cards_of([attempt(first_rank="7", followed=15)], gpu_hour=2.5, currency="EUR")

    why, cost, restart, whence, without = card.answers
    assert why == (
        "Attempt 1 died at step 3,000 on 2026-11-18 11:06:40 UTC: rank_crash on node-a (rank 7 first, 15 followed)."
    )
    assert cost == (
        "It cost 2.8 GPU-hours so far, 7.11 EUR: the time from the fault to the next step,"
        " and 100 steps since the last good checkpoint."
    )
    assert restart.startswith("Once, yes: whether it is the code or the machine cannot be told yet")
    assert whence == "From step 2,900, /ckpt/2900, complete by the log's word."
    assert without == "Nobody yet: node-a is where it began, and nothing says that the node is to blame."
    assert card.restarting.startswith("unknown")


def test_the_account_adds_up_to_the_whole(attempt: Make) -> None:
    """Over all attempts, shares to one."""
    [card] = cards_of([attempt(1), attempt(2)], gpu_hour=0.0, currency="")

    assert sum(line.share for line in card.account) == pytest.approx(1.0)
    assert sum(line.wall_seconds for line in card.account) == pytest.approx(card.total_wall_seconds)
    assert card.total_gpu_hours == 32.0
    assert card.goodput == pytest.approx(3000 / 3600)
    assert card.lost_money is None


def test_a_fault_of_hardware_is_the_machines_and_its_node_is_left_out(attempt: Make) -> None:
    """Xid 79 on node-a, with a piece of YAML that keeps the job off it."""
    [card] = cards_of([attempt(fault=fault(K.XID, codes=(79,)))], gpu_hour=0.0, currency="")

    assert card.blame is Blame.MACHINE
    assert card.answers[2] == "Yes, elsewhere: it is the machine (Xid 79 is a fault of hardware or of its driver)."
    assert card.answers[4] == "Without node-a (Xid 79 there)."
    terms = yaml.safe_load(card.exclude)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms == {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-a"]}]}
        ]
    }


@pytest.mark.parametrize(
    ("here", "before", "blame"),
    [
        pytest.param(("node-a", (13,), ""), ("node-b", (13,), ""), Blame.CODE, id="the-same-xid-on-another-node"),
        pytest.param(("node-a", (13,), ""), ("node-a", (13,), ""), Blame.UNKNOWN, id="the-same-xid-on-the-same-node"),
        pytest.param(("node-a", (13,), ""), ("node-b", (31,), ""), Blame.UNKNOWN, id="another-xid-on-another-node"),
        pytest.param(("node-a", (79,), ""), ("node-b", (79,), ""), Blame.MACHINE, id="hardware-twice-is-two-machines"),
    ],
)
def test_an_application_fault_is_the_codes_once_it_comes_on_different_nodes(
    attempt: Make, here: tuple[str, tuple[int, ...], str], before: tuple[str, tuple[int, ...], str], blame: Blame
) -> None:
    """Not before, and never a fault of hardware."""
    died = attempt(2, fault=fault(K.XID, *here))

    assert judge(died, [attempt(1, fault=fault(K.XID, *before))]).blame is blame


@pytest.mark.parametrize(
    ("signature", "blame", "same"),
    [
        pytest.param("KeyError", Blame.CODE, True, id="the-same-exception"),
        pytest.param("ValueError", Blame.UNKNOWN, False, id="another-exception"),
    ],
)
def test_an_exception_that_recurs_elsewhere_is_the_codes(
    attempt: Make, signature: str, blame: Blame, same: bool
) -> None:
    """The run before had the name, another id and another node."""
    one = (JobNode("z", "node-z"),)
    died = attempt(2, nodes=one, fault=fault(K.JOB_CRASH, "", signature="KeyError"))
    other = attempt(1, job="j-0", nodes=(JobNode("y", "node-y"),), fault=fault(K.JOB_CRASH, "", signature=signature))

    [card, _] = cards_of([died, other], gpu_hour=0.0, currency="")

    assert (card.blame, card.same_cause_as_before) == (blame, same)


def test_a_rank_that_dies_twice_on_one_of_several_nodes_makes_it_a_suspect(attempt: Make) -> None:
    """No proof, and said so."""
    verdict = judge(attempt(2), [attempt(1)])

    assert (verdict.blame, [(s.node, s.certain) for s in verdict.suspects]) == (Blame.UNKNOWN, [("node-a", False)])
    assert verdict.same_as_before is True


def test_what_nobody_found_is_not_guessed(attempt: Make) -> None:
    """No incident, no checkpoint, no GPUs: every sentence says so."""
    account = msgspec.structs.replace(attempt().account, gpu_ns={}, gpus_unknown_ns=3600 * S)
    [card] = cards_of([attempt(fault=None, saves=(), gpus=None, account=account)], gpu_hour=2.0, currency="EUR")

    why, cost, restart, whence, without = card.answers
    assert why == "Attempt 1 died at step 3,000; nothing tells why."
    assert "unknown number of GPU-hours" in cost
    assert "how many steps are lost is unknown" in cost
    assert restart.startswith("Once, yes")
    assert whence == "The log names no checkpoint that is whole, so nothing tells from where but the beginning."
    assert without == "Nobody: nothing points at a node."
    assert (card.lost_gpu_hours, card.lost_money, card.blame) == (None, None, Blame.UNKNOWN)


def test_a_torn_checkpoint_is_warned_of(attempt: Make) -> None:
    """Its save was not finished."""
    saves = (
        Checkpoint(2800, SaveState.ASSUMED, T0, None),
        Checkpoint(2950, SaveState.TORN, T0 + 9 * S, None, "/ckpt/2950"),
    )
    [card] = cards_of([attempt(saves=saves)], gpu_hour=0.0, currency="")

    assert card.answers[3] == (
        "From step 2,800, complete as far as one can tell: its log never says when a save is over."
        " Not from the one of step 2,950: its save was not finished."
    )
    assert card.steps_lost == 200


def test_a_job_that_runs_again_says_so(attempt: Make) -> None:
    """The answers are about the attempt that died."""
    now = attempt(2, state=AttemptState.RUNNING, first_step=2901, last_step=3100, fault=None, began_because="start")
    [card] = cards_of([attempt(1), now], gpu_hour=0.0, currency="")

    assert card.attempt == 1
    assert card.answers[0].endswith("Attempt 2 is running now.")
    assert card.answers[2].startswith("It is started again already: attempt 2 is running")
    assert card.answers[3].endswith("Attempt 2 went on at step 2,901.")
    assert card.restarting.startswith("yes: attempt 2 began")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        pytest.param(AttemptState.RUNNING, "It has not died: attempt 1 is running at step 3,000.", id="running"),
        pytest.param(AttemptState.ENDED, "It has not died: attempt 1 ended in good order at step 3,000.", id="ended"),
        pytest.param(
            AttemptState.GONE, "Nothing more is heard of attempt 1 at step 3,000; nothing tells why.", id="gone"
        ),
    ],
)
def test_a_job_that_has_not_died_says_so(attempt: Make, state: AttemptState, says: str) -> None:
    """There is nothing to restart."""
    [card] = cards_of([attempt(state=state, fault=None)], gpu_hour=0.0, currency="")

    assert (card.answers[0], card.answers[2]) == (says, "There is nothing to restart.")


def test_jobs_that_share_a_name_have_a_card_each_and_the_earlier_one_is_compared(attempt: Make) -> None:
    """A new image, a new driver, and 10 % slower."""
    old = attempt(1, job="j-0", image="train:1")
    new = attempt(2, job="j-1", pace_ns=1_100_000_000, image="train:2", nodes=(JobNode("c", "node-c", "590.2"),))

    cards = cards_of([old, new], gpu_hour=0.0, currency="")

    assert [card.id for card in cards] == ["j-1", "j-0"]
    assert cards[0].regression == (
        "10% slower than the run before: 1.1 s a step at its best, 1 s in the run before."
        " Changed since: image train:1 -> train:2; driver 580.1 -> 590.2."
    )
    assert cards[1].regression == "No earlier run of this name is known."


def test_a_nodes_name_cannot_break_out_of_the_snippet() -> None:
    """Quoted, and without control characters."""
    evil = 'node"\n- x: {{7*7}}\x1b[2J'

    read = yaml.safe_load(exclude_snippet([evil, "b", "b", ""]))

    terms = read["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["b", 'node" - x: {{7*7}}']


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(45, "45 GPU-seconds"), (90, "1.5 GPU-minutes"), (36_000, "10.0 GPU-hours"), (4_334_400, "1,204 GPU-hours")],
)
def test_gpu_time_in_words(seconds: int, words: str) -> None:
    assert gpu_time(seconds * S) == words
