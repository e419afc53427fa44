"""Hardware faults whose signs are laid over real healthy telemetry, and what only looks like them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from recording_cuts import ROOT, Row, overlaid, phases

from agent.replay import replay
from collectors.recording.folder import Recording
from detectors.model import Finding, FindingKind

pytestmark = pytest.mark.slow
K = FindingKind
SOURCE = "h200-ddp4"
_HEALTHY = next(p for p in phases(SOURCE) if p["label"] == "healthy" and p["end"] - p["start"] >= 30)
START, END = _HEALTHY["start"] - 18.0, _HEALTHY["end"]
AT = _HEALTHY["start"] + 20.0
GPU = "2"
BUS = next(
    facts.attributes["pci_bus_id"]
    for facts in Recording(ROOT / SOURCE).gpus().all_facts()
    if facts.attributes["index"] == GPU
)
PCI = f"PCI:{BUS.split('.')[0]}"
Change = Callable[[Row], None]


def after(**rises: float) -> Change:
    """Counters of the guilty card that stand higher from the fault on."""

    def change(row: Row) -> None:
        if row["gpu"] == GPU and float(row["ts"]) >= AT:
            for name, rise in rises.items():
                row[name] = str(int(float(row[name] or 0) + rise))

    return change


def storm(row: Row) -> None:
    if row["gpu"] == GPU:
        row["ecc_corr_vol"] = str(int(400 * max(0.0, float(row["ts"]) - AT)))


def hot(row: Row) -> None:
    if row["gpu"] == GPU and float(row["ts"]) >= AT:
        row.update(clocks_event_reasons=str(0x40), temp_c="90", sm_clock=str(int(float(row["sm_clock"]) * 0.7)))


def warm_room(row: Row) -> None:
    if float(row["ts"]) >= AT:
        row["temp_c"] = str(int(float(row["temp_c"])) + 6)


def nothing(row: Row) -> None:
    pass


def xid(code: int, text: str) -> tuple[tuple[float, str], ...]:
    return ((AT, f"NVRM: Xid ({PCI}): {code}, pid=4711, name=python3, {text}"),)


def found(tmp_path: Path, change: Change, **more: tuple[tuple[float, str], ...]) -> list[Finding]:
    folder = overlaid(ROOT / SOURCE, tmp_path / "laid", END, change, from_s=START, **more)
    told: dict[str, Finding] = {}
    for _, changes in replay(Recording(folder)):
        told.update((finding.id, finding) for finding in changes.findings)
    return list(told.values())


@pytest.mark.parametrize(
    ("change", "kernel", "kind"),
    [
        (storm, (), K.ECC_CORRECTABLE_STORM),
        (after(ecc_unc_vol=1), (), K.ECC_UNCORRECTABLE),
        (after(ecc_unc_vol=1), xid(48, "DBE (double bit error) ECC Error"), K.ECC_UNCORRECTABLE),
        (nothing, xid(94, "Contained: SM (0x1). RST: No, D-RST: No"), K.ECC_UNCORRECTABLE),
        (after(remap_unc=1, remap_pending=1), (), K.ROW_REMAP),
        (
            after(remap_unc=1, remap_fail=1),
            xid(64, "Row Remapper: Failed to remap row"),
            K.ROW_REMAP,
        ),
        (hot, (), K.THERMAL_THROTTLE),
        (nothing, xid(74, "NVLink: fatal error detected on link 3(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)"), K.XID),
        (nothing, xid(119, "Timeout after 6s of waiting for RPC response from GPU2 GSP!"), K.XID),
        (nothing, xid(79, "GPU has fallen off the bus."), K.GPU_LOST),
    ],
    ids=["storm", "uncorrectable", "xid-48", "xid-94", "remap", "remap-failed", "thermal", "link", "firmware", "lost"],
)
def test_each_hardware_fault_is_named_on_its_card_within_fifteen_seconds_and_nothing_else_is(
    tmp_path: Path, change: Change, kernel: tuple[tuple[float, str], ...], kind: FindingKind
) -> None:
    told = found(tmp_path, change, kernel=kernel)
    (finding,) = [f for f in told if f.kind is kind]
    assert finding.names["gpu"] == GPU
    assert AT <= finding.opened_ns / 1e9 <= AT + 15
    assert {f.kind for f in told} <= {kind, K.STRAGGLER, K.POWER_THROTTLE}


@pytest.mark.parametrize(
    ("change", "log"),
    [
        (after(ecc_corr_vol=1), ()),
        (warm_room, ()),
        (nothing, ((AT, "[debug] NVRM: Xid (PCI:0000:1a:00): 79, pid=1, name=x, GPU has fallen off the bus."),)),
        (nothing, ((AT, "Traceback (most recent call last):"), (AT, "ValueError: caught and gone on"))),
    ],
    ids=["one-corrected-error", "a-warm-room", "a-printed-xid", "a-caught-exception"],
)
def test_what_only_looks_like_a_fault_is_not_reported(
    tmp_path: Path, change: Change, log: tuple[tuple[float, str], ...]
) -> None:
    assert found(tmp_path, change, log=log) == []


def test_only_kernel_lines_of_the_kernel_itself_count(tmp_path: Path) -> None:
    folder = overlaid(ROOT / SOURCE, tmp_path / "laid", END, nothing, from_s=START, kernel=xid(79, "fallen"))
    (folder / "kmsg.txt").write_text((folder / "kmsg.txt").read_text().replace("<3>", "<11>"))
    assert [f for _, changes in replay(Recording(folder)) for f in changes.findings] == []
