"""Kernel-log lines, as drivers and kernels print them, to events."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.kernel_log import KernelLogParser
from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind

RECORDINGS = Path(__file__).parents[3] / "recordings"
NODE = Subject("prod", SubjectKind.NODE, "node-uid")
BOOT_NS = 1_700_000_000_000_000_000
SEEN_NS = 1_700_000_100_000_000_000


def gpu_at(address: str) -> Subject | None:
    known = {"0000:18:00.0", "0000:00:06.0", "0009:01:00.0", "0000:9b:00.0"}
    return Subject("prod", SubjectKind.GPU, f"GPU-at-{address}") if address in known else None


def a_parser(boot_ns: int | None = BOOT_NS) -> KernelLogParser:
    return KernelLogParser(NODE, gpu_at, boot_ns)


def parse(text: str) -> Event | None:
    return a_parser().parse(f"<4>[    1.000000] {text}".encode(), SEEN_NS)


def event_of(text: str) -> Event:
    event = parse(text)
    assert event is not None, text
    return event


def test_a_real_kernel_log_gives_one_event_for_each_xid_line():
    parser = a_parser()
    lines = (RECORDINGS / "h200-xid" / "kmsg.txt").read_bytes().splitlines()

    events = [event for line in lines if (event := parser.parse(line, SEEN_NS)) is not None]

    assert [event.values["code"] for event in events] == [31.0, 43.0, 13.0, 13.0, 13.0]
    assert {EventKind.XID} == {event.kind for event in events}
    assert {gpu_at("0000:00:06.0")} == {event.subject for event in events}
    assert [event.attributes.get("pid") for event in events] == ["406", "428", None, None, "455"]
    assert events[0].attributes["process"] == "python3"
    assert events[0].time_ns == BOOT_NS + 25_844_625_000
    assert {name: getattr(parser.counters, name) for name in ("lines", "passed_over", "refused")} == {
        "lines": 10,
        "passed_over": 5,
        "refused": 0,
    }


XID = "NVRM: Xid (PCI:0000:18:00): 79, pid=123456, name=test, GPU has fallen off the bus."


@pytest.mark.parametrize(
    ("line", "time_ns"),
    [
        pytest.param(f"4,3998,261229012,-;{XID}", BOOT_NS + 261_229_012_000, id="kmsg"),
        pytest.param(
            f"4,3998,261229012,c;{XID}\n SUBSYSTEM=pci\n DEVICE=+pci:0", BOOT_NS + 261_229_012_000, id="kmsg+tags"
        ),
        pytest.param(f"<4>[   12.345678] {XID}", BOOT_NS + 12_345_678_000, id="dmesg-raw"),
        pytest.param(f"[   12.345678] {XID}", BOOT_NS + 12_345_678_000, id="dmesg"),
        pytest.param(f"[6781741.548779][  T406] {XID}", BOOT_NS + 6_781_741_548_779_000, id="dmesg-caller"),
        pytest.param(f"[Mon Oct 29 12:07:39 2018] {XID}", 1_540_814_859_000_000_000, id="dmesg-T"),
        pytest.param(f"2025-01-21T04:41:44,283302+00:00 {XID}", 1_737_434_504_283_302_000, id="dmesg-iso"),
        pytest.param(f"kern  :warn  : 2025-01-21T05:41:44,283302+01:00 {XID}", 1_737_434_504_283_302_000, id="dmesg-x"),
        pytest.param(f"2025-01-21T04:41:44.283302Z gpu-7 kernel: {XID}", 1_737_434_504_283_302_000, id="rfc5424"),
        pytest.param(f"Nov 14 22:13:20 gpu-7 kernel: [   12.3] {XID}", 1_700_000_000_000_000_000, id="syslog"),
    ],
)
def test_every_form_of_kernel_log_gives_the_same_event_at_its_own_time(line: str, time_ns: int):
    event = a_parser().parse(line.encode(), SEEN_NS)

    assert event is not None
    assert (event.kind, event.source) == (EventKind.XID, EventSource.KERNEL_LOG)
    assert event.values == {"code": 79.0}
    assert gpu_at("0000:18:00.0") == event.subject
    assert time_ns == event.time_ns
    assert event.line == XID


def test_without_a_boot_time_an_event_bears_the_time_at_which_it_was_seen():
    event = a_parser(boot_ns=None).parse(f"<4>[   12.345678] {XID}".encode(), SEEN_NS)

    assert event is not None
    assert event.time_ns == SEEN_NS


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"12,3998,261229012,-;{XID}", id="kmsg-user"),
        pytest.param(f"30,3998,261229012,-;{XID}", id="kmsg-daemon"),
        pytest.param(f"<14>[   12.345678] {XID}", id="dmesg-raw-user"),
        pytest.param(f"user  :warn  : 2025-01-21T05:41:44,283302+01:00 {XID}", id="dmesg-x-user"),
        pytest.param(f"Nov 14 22:13:20 gpu-7 logger[12]: {XID}", id="syslog-user"),
        pytest.param(f"2025-01-21T04:41:44.283302Z gpu-7 python3: {XID}", id="rfc5424-user"),
    ],
)
def test_what_user_space_wrote_into_the_kernel_log_is_refused_and_counted(line: str):
    parser = a_parser()

    assert parser.parse(line.encode(), SEEN_NS) is None
    assert parser.counters.refused == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.159.04", id="driver-load"),
        pytest.param("NVRM: GPU at PCI:0000:00:06: GPU-744e54e6-b995-242b-e5e5-b5eb90a53e67", id="gpu-uuid"),
        pytest.param("python3[12]: saw NVRM: Xid (PCI:0000:18:00): 79, pid=1", id="xid-quoted"),
        pytest.param("oom_reaper: reaped process 345646 (vector), now anon-rss:0kB", id="oom-reaper"),
        pytest.param("nfs: server fs.tcblab OK", id="nfs-back"),
        pytest.param("NVRM: Xid (PCI:0000:18:00): many, pid=1", id="xid-without-code"),
    ],
)
def test_lines_that_say_nothing_of_interest_are_passed_over(text: str):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "values", "attributes"),
    [
        pytest.param(
            "NVRM: Xid (PCI:0000:9B:00): 119, pid=2024380, name=nvidia-smi, Timeout after 6s of waiting for RPC",
            {"code": 119.0},
            {
                "pci_bus_id": "0000:9b:00.0",
                "pid": "2024380",
                "process": "nvidia-smi",
                "detail": "Timeout after 6s of waiting for RPC",
            },
            id="119",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0000:38:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 9)",
            {"code": 13.0},
            {"pci_bus_id": "0000:38:00.0", "detail": "Graphics SM Warp Exception on (GPC 9)"},
            id="unknown-process",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0000:8a:00): 48, An uncorrectable double bit error (DBE) has been detected",
            {"code": 48.0},
            {"pci_bus_id": "0000:8a:00.0", "detail": "An uncorrectable double bit error (DBE) has been detected"},
            id="no-process",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7062, Contained: CE User Channel (0x9). RST: No, D-RST: No",
            {"code": 94.0},
            {
                "pci_bus_id": "0000:01:00.0",
                "mig_instance": "05",
                "pid": "7062",
                "detail": "Contained: CE User Channel (0x9). RST: No, D-RST: No",
            },
            id="mig",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0009:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)",
            {"code": 154.0, "recovery_action": 4.0},
            {
                "pci_bus_id": "0009:01:00.0",
                "recovery_action": "Drain and Reset",
                "recovery_action_before": "None",
                "detail": "GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)",
            },
            id="154",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0018:01:00): 145, pid=876767, name=ray::W, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409)",
            {"code": 145.0},
            {
                "pci_bus_id": "0018:01:00.0",
                "pid": "876767",
                "process": "ray::W",
                "unit": "RLW_RXPIPE",
                "fatal": "false",
                "link": "13",
                "detail": "RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409)",
            },
            id="145",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0000:04:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x004505c6 0x00000000)",
            {"code": 149.0},
            {
                "pci_bus_id": "0000:04:00.0",
                "unit": "NETIR_LINK_EVT",
                "fatal": "true",
                "link": "8",
                "detail": "NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x004505c6 0x00000000)",
            },
            id="149",
        ),
        pytest.param(
            "NVRM: Xid (PCI:0003:00:00): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error on link 14(0x0, 0x0)",
            {"code": 74.0},
            {"pci_bus_id": "0003:00:00.0", "link": "14", "detail": "NVLink: fatal error on link 14(0x0, 0x0)"},
            id="74",
        ),
        pytest.param(
            "NVRM: GPU 18:00.0: GPU has fallen off the bus.",
            {"code": 79.0},
            {"pci_bus_id": "0000:18:00.0", "detail": "GPU has fallen off the bus"},
            id="off-bus-without-xid",
        ),
    ],
)
def test_an_xid_line_is_taken_apart(text: str, values: dict, attributes: dict):
    event = event_of(text)

    assert event.kind == EventKind.XID
    assert values == event.values
    assert attributes == event.attributes
    assert (gpu_at(attributes["pci_bus_id"]) or NODE) == event.subject


def test_the_two_line_message_of_a_gpu_off_the_bus_is_one_xid_79():
    parser = a_parser()
    lines = (
        b"<3>[ 1.000000] NVRM: The NVIDIA GPU 0000:18:00.0",
        b"<3>[ 1.000001] NVRM: (PCI ID: 10de:2330) installed in this system has",
        b"<3>[ 1.000002] NVRM: fallen off the bus and is not responding to commands.",
    )

    events = [parser.parse(line, SEEN_NS) for line in lines]

    assert events[:2] == [None, None]
    assert events[2] is not None
    assert events[2].values == {"code": 79.0}
    assert gpu_at("0000:18:00.0") == events[2].subject


@pytest.mark.parametrize(
    ("text", "values", "attributes"),
    [
        pytest.param(
            "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
            {"code": 12028.0},
            {
                "pci_bus_id": "0000:05:00.0",
                "switch": "nvswitch3",
                "fatal": "false",
                "link": "32",
                "detail": "egress non-posted PRIV error (First)",
            },
            id="nonfatal",
        ),
        pytest.param(
            "nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
            {"code": 20034.0},
            {
                "pci_bus_id": "0000:00:00.0",
                "switch": "nvswitch0",
                "fatal": "true",
                "link": "30",
                "detail": "LTSSM Fault Up",
            },
            id="fatal",
        ),
    ],
)
def test_an_sxid_line_says_switch_link_and_whether_it_is_fatal(text: str, values: dict, attributes: dict):
    event = event_of(text)

    assert (event.kind, event.subject) == (EventKind.SXID, NODE)
    assert values == event.values
    assert attributes == event.attributes


def test_the_detail_lines_after_an_sxid_are_no_events_of_their_own():
    assert (
        parse("nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Severity 1 Engine instance 30 Sub-engine instance 00")
        is None
    )
    assert parse("nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Data {0x50610002, 0x0}") is None


@pytest.mark.parametrize(
    ("text", "constraint", "pid", "process"),
    [
        pytest.param(
            "Memory cgroup out of memory: Killed process 11499 (python3) total-vm:1kB, anon-rss:2048kB, UID:0",
            "memcg",
            "11499",
            "python3",
            id="memcg",
        ),
        pytest.param(
            "Memory cgroup out of memory: Kill process 11499 (badsysprogram) score 1000 or sacrifice child",
            "memcg",
            "11499",
            "badsysprogram",
            id="memcg-old",
        ),
        pytest.param("Out of memory: Killed process 22222 (nginx).", "none", "22222", "nginx", id="host"),
        pytest.param("Out of memory: Killed process 123, UID 48, (httpd)", "none", "123", "httpd", id="host-uid"),
    ],
)
def test_an_oom_kill_says_whose_limit_it_was(text: str, constraint: str, pid: str, process: str):
    event = event_of(text)

    assert event.kind == EventKind.OOM_KILL
    assert (constraint, pid, process) == tuple(event.attributes[name] for name in ("constraint", "pid", "process"))


def test_an_oom_kill_takes_pod_and_constraint_from_the_line_before_it():
    parser = a_parser()
    stated = (
        "oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=x,mems_allowed=0-1,"
        "task_memcg=/kubepods.slice/kubepods-burstable.slice/"
        "kubepods-burstable-pod0a1b2c3d_0000_1111_2222_0123456789ab.slice/cri-1,task=python,pid=77,uid=0"
    )

    assert parser.parse(f"<6>[ 1.0] {stated}".encode(), SEEN_NS) is None
    event = parser.parse(b"<3>[ 1.0] Out of memory: Killed process 77 (python) total-vm:9kB, anon-rss:8kB", SEEN_NS)

    assert event is not None
    assert event.attributes["constraint"] == "cpuset"
    assert event.attributes["pod_uid"] == "0a1b2c3d-0000-1111-2222-0123456789ab"
    assert event.values == {"pid": 77.0, "anonymous_memory_bytes": 8192.0}


@pytest.mark.parametrize(
    ("text", "values", "detail", "more"),
    [
        pytest.param(
            "INFO: task python:280058 blocked for more than 120 seconds.",
            {"seconds": 120.0},
            "blocked",
            {"process": "python", "pid": "280058"},
            id="hung",
        ),
        pytest.param(
            "INFO: task kworker/u256:1:345 blocked for more than 240 seconds.",
            {"seconds": 240.0},
            "blocked",
            {"process": "kworker/u256:1", "pid": "345"},
            id="colon-in-name",
        ),
        pytest.param(
            "watchdog: BUG: soft lockup - CPU#0 stuck for 25s! [pt_data_pin:2273422]",
            {"seconds": 25.0},
            "soft lockup",
            {"process": "pt_data_pin", "cpu": "0"},
            id="soft-lockup",
        ),
        pytest.param(
            "nfs: server fs.tcblab not responding, still trying",
            {},
            "nfs server not responding",
            {"server": "fs.tcblab"},
            id="nfs",
        ),
    ],
)
def test_a_host_that_stands_still_is_a_hung_task(text: str, values: dict, detail: str, more: dict):
    event = event_of(text)

    assert (event.kind, event.subject) == (EventKind.HUNG_TASK, NODE)
    assert values == event.values
    assert {"detail": detail} | more == {name: event.attributes[name] for name in ("detail", *more)}


def test_an_iso_line_without_host_is_not_mistaken_for_a_syslog_tag():
    event = a_parser().parse(
        b"2025-01-21T04:41:44,2+00:00 watchdog: BUG: soft lockup - CPU#0 stuck for 25s! [x:2]", SEEN_NS
    )

    assert event is not None
    assert event.kind == EventKind.HUNG_TASK


def test_hostile_text_leaves_the_node_printable_and_masked():
    event = event_of("NVRM: Xid (PCI:0000:18:00): 31, pid=1, name=\x1b[31mred\u202e, password=hunter2 " + "x" * 3000)

    assert event.attributes["process"] == "red"
    assert "hunter2" not in event.line + event.attributes["detail"]
    assert event.line.isprintable()
    assert len(event.line) == 1000


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_never_raises_and_is_counted(line: bytes):
    parser = a_parser()

    parser.parse(line, SEEN_NS)

    assert parser.counters.lines == 1


@settings(deadline=None)
@given(cut=st.integers(min_value=0, max_value=len(XID) + 30), noise=st.binary(max_size=5))
def test_a_line_cut_or_spoilt_anywhere_is_an_xid_or_nothing(cut: int, noise: bytes):
    line = f"4,3998,261229012,-;{XID}".encode()

    event = a_parser().parse(line[:cut] + noise + line[cut:], SEEN_NS)

    assert event is None or event.kind == EventKind.XID


def test_a_megabyte_without_a_line_break_costs_no_more_than_a_record():
    assert a_parser().parse(b"4,1,1,-;" + b"NVRM: Xid (PCI:" * 70_000, SEEN_NS) is None
