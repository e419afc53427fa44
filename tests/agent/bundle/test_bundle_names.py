"""Names in a bundle: replaced everywhere, the same everywhere, and nothing else torn up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bundle.names import Names
from agent.bundle.rewrite import Rewriter, note_batch
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
)

UUID = "GPU-1f298b6c-f1c1-3057-e414-73c7c8d6929c"
NODE = Subject("acme", SubjectKind.NODE, "6f0d0c3e-node-uid")
GPU = Subject("acme", SubjectKind.GPU, UUID)
JOB = Subject("acme", SubjectKind.JOB, "owner-uid-9/2")


def names(**by_kind: tuple[str, ...]) -> Names:
    made = Names()
    for kind, several in by_kind.items():
        for name in several:
            made.note(kind, name)
    made.settle()
    return made


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lost contact to gpu-zrh-17: retry", "lost contact to node-0001: retry"),
        ("GPU-ZRH-17 kernel: oops", "node-0001 kernel: oops"),
        ("ckpt-llama-70b-final", "ckpt-job-0001-final"),
        ("spawn1 on n1, n1.", "spawn1 on node-0002, node-0002."),
        (f"device {UUID.lower()} gone", "device GPU-00000000-0000-4000-8000-000000000001 gone"),
        (
            "pod 0c8e4c1e-8f34-4a1c-9d7e-0123456789ab",
            "pod 00000000-0000-4000-9000-000000000001",
        ),
        ("connect to 10.1.2.3:29500", "connect to ip-0001:29500"),
        ("connect to fd00:1:2:3:4:5:6:7 or fe80::1", "connect to ip-0001 or ip-0002"),
        ("resolve gpu-zrh-17.acme.internal", "resolve node-0001.host-0001"),
        ("see https://wiki.acme.io/x?y=1", "see url-0001"),
        ("ask jane.doe@acme.io", "ask person-0001"),
        ("hal-9:4711:4711 [3] NCCL INFO x", "host-0001:4711:4711 [3] NCCL INFO x"),
        ("hostname=hal-9 rank=3", "hostname=host-0001 rank=3"),
        (
            'File "/data/jane/proj/train.py", line 3',
            'File "/data/part-0001/part-0002/train.py", line 3',
        ),
        ("saved /data/ckpts/step_1000/rank0.pt", "saved /data/ckpts/step_1000/rank0.pt"),
        ("step 17/100 loss: 2.31 at 12:30:11, 550.54.15", "step 17/100 loss: 2.31 at 12:30:11, 550.54.15"),
        ("NVRM: Xid (PCI:0000:3b:00): 79, pid=1", "NVRM: Xid (PCI:0000:3b:00): 79, pid=1"),
    ],
    ids=["name", "another case", "in a word", "short", "gpu", "uuid", "address", "ipv6", "domain", "url", "mail",
         "nccl", "hostname", "path", "plain path", "figures", "xid"],
)  # fmt: skip
def test_a_line_loses_its_names_and_keeps_the_rest(line: str, expected: str) -> None:
    assert names(node=("gpu-zrh-17", "n1"), job=("llama-70b",), gpu=(UUID,)).text(line) == expected


def test_the_same_name_gets_the_same_replacement_wherever_it_stands() -> None:
    made = names(node=("gpu-zrh-17",), job=("gpu-zrh-17", "llama"))

    assert {made.id("gpu-zrh-17"), made.text("gpu-zrh-17"), made.whole("gpu-zrh-17")} == {"node-0001"}
    assert [made.text("on unknown-7.acme.io") for _ in range(2)] == ["on host-0001"] * 2


def test_names_keep_their_order() -> None:
    several = tuple(f"gpu-{letter}" for letter in "dabce")
    made = names(node=several)

    assert sorted(several) == sorted(several, key=made.id)


def test_a_key_of_several_parts_keeps_its_number() -> None:
    made = names(job=("owner-uid-9", "team/llama/4"))

    assert (made.id("owner-uid-9/2"), made.id("team/llama/4")) == ("job-0002/2", "job-0003/job-0001/4")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=4, max_size=30), min_size=1, max_size=8), st.data())
def test_no_long_name_survives_in_any_text(several: list[str], data: st.DataObject) -> None:
    made = names(other=tuple(several))
    known = [part for name in several for part in name.split("/") if len(part) >= 4 and not part.isdigit()]
    line = data.draw(st.lists(st.sampled_from([*known, " ", ": "]), max_size=6).map(" ".join)) if known else ""

    told = made.text(line)
    for name in known:
        assert name not in told or any(name in form for form in ("name-0001", "name-0000000"))


def test_a_batch_is_renamed_in_keys_facts_events_and_lines() -> None:
    pod = SubjectFacts(
        Subject("acme", SubjectKind.POD, "pod-uid-1"),
        "skunkworks/trainer-0",
        NODE,
        {"namespace": "skunkworks", "phase": "Running", "job": JOB.id},
    )
    card = SubjectFacts(
        GPU, UUID, NODE, {"index": "3", "uuid": UUID, "job": JOB.id, "model": "H200", "surprise": "Zug"}
    )
    facts = (
        SubjectFacts(NODE, "gpu-zrh-17"),
        card,
        pod,
        SubjectFacts(JOB, "llama-70b", None, {"owner": "owner-uid-9"}),
    )
    line = "trainer-0 of skunkworks on gpu-zrh-17: HF_TOKEN=hf_abcdefghijklmnopqrst"
    event = Event(
        EventKind.TRACEBACK,
        JOB,
        1,
        EventSource.TRAINING_LOG,
        {"step": 3.0},
        {"path": "/data/jane/x.pt", "namespace": "skunkworks,moonshot"},
        line,
    )
    batch = Batch(WIRE_VERSION, Origin.LIVE, NODE, "boot-uuid", "spool-zrh", 4, 5, (NODE, GPU), facts, events=(event,))
    made = Names()
    note_batch(made, batch)
    made.settle()

    told = Rewriter(made).batch(batch)
    spoken = repr(told)
    for name in ("acme", "6f0d0c3e", "gpu-zrh", "skunkworks", "moonshot", "trainer-0", "llama", "owner-uid", "pod-uid",
                 "1f298b6c", "boot-uuid", "spool-zrh", "jane", "Zug", "hf_abc"):  # fmt: skip
        assert name not in spoken
    assert told.facts[1].attributes["index"] == "3"
    assert told.facts[1].attributes["model"] == "H200"
    assert told.facts[1].attributes["job"] == told.facts[3].subject.id == told.events[0].subject.id
    assert told.subjects == (told.node, told.facts[1].subject)
    assert told.events[0].values == {"step": 3.0}


def test_without_new_names_only_secrets_go() -> None:
    event = Event(EventKind.TRACEBACK, JOB, 1, EventSource.TRAINING_LOG, line="password=hunter22 on gpu-zrh-17")
    batch = Batch(WIRE_VERSION, Origin.LIVE, NODE, "b", "s", 4, 5, (NODE, GPU), events=(event,))

    told = Rewriter().batch(batch)
    assert told.events[0].line == "password=[masked] on gpu-zrh-17"
    assert (told.node, told.subjects) == (batch.node, batch.subjects)
