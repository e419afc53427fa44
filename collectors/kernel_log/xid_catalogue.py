"""What is known about each Xid, and what others do about it. No two systems agree, so all verdicts stand side by side.

Sources: NVIDIA's Xid catalogue of 2025-10-29 (names, immediate and investigatory action); gpud's verdicts on it;
the fatal list of the EKS node monitoring agent; Imbue's hardware list (cluster-health); the list of Meta's GPU cluster
monitoring (gcm), which calls every Xid critical but eight; NVSentinel's sticky Xids. docs/xids.md is made from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class XidDomain(StrEnum):
    """Where the cause of an Xid is to be looked for first."""

    APPLICATION = "application"
    HARDWARE = "hardware"
    LINK = "link"
    FIRMWARE = "firmware"
    DRIVER = "driver"
    INFORMATIONAL = "informational"


@dataclass(frozen=True, slots=True)
class Xid:
    """One Xid. Empty text and None mean that the source says nothing, never "fine"."""

    code: int
    name: str
    domain: XidDomain
    nvidia_action: str
    """NVIDIA's immediate action: RESTART_APP, RESET_GPU, RESTART_BM, IGNORE, WORKFLOW_..; empty where blank."""
    investigatory: str = ""
    """NVIDIA's second step, if the immediate one does not help."""
    gpud: str = ""
    """gpud's event type and actions: fatal, warning or info; reboot, inspect hardware, check application, ignore."""
    eks_fatal: bool = False
    imbue_hardware: bool = False
    gcm_critical: bool = True
    nvsentinel_sticky: bool = False


_EKS_FATAL = frozenset({46, 48, 54, 62, 63, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 142, 143, 151, 155, 156, 158})
_IMBUE_HARDWARE = frozenset(
    {48, *range(56, 59), *range(62, 65), *range(68, 78), *range(79, 87), 88, 89, 92, *range(94, 106)}
    | {*range(110, 121), *range(122, 126)}
)
_GCM_NOT_CRITICAL = frozenset({13, 31, 43, 45, 63, 68, 92, 109})
_NVSENTINEL_STICKY = frozenset({74, 79, 95, 109, 119})

_APP, _HW, _LINK = XidDomain.APPLICATION, XidDomain.HARDWARE, XidDomain.LINK
_FW, _DRV, _INFO = XidDomain.FIRMWARE, XidDomain.DRIVER, XidDomain.INFORMATIONAL
_FATAL_RB_HW = "fatal: reboot, then inspect hardware"
_FATAL_RB = "fatal: reboot"
_WARN = "warning"
_WARN_RB = "warning: reboot"
_WARN_APP = "warning: check application"
_NVLINK5 = "WORKFLOW_NVLINK5_ERR"

# code(s), name, domain, NVIDIA's immediate action, investigatory action, gpud
_Row = tuple[int | Iterable[int], str, XidDomain, str, str, str]
_ROWS: tuple[_Row, ...] = (
    (8, "GPU stopped processing (idle timeout)", _APP, "RESTART_APP", "CONTACT_SUPPORT", _WARN),
    ((11, 25), "Invalid or corrupted push buffer", _APP, "RESTART_APP", "CHECK_APP/CUDA", _WARN),
    (13, "Graphics engine exception", _APP, "RESTART_APP", "WORKFLOW_XID_13", _WARN_APP),
    (31, "GPU memory page fault", _APP, "RESTART_APP", "WORKFLOW_XID_31", "warning: check application, then hardware"),
    (32, "Corrupted push buffer (PBDMA)", _APP, "RESTART_APP", "CHECK_APP", _FATAL_RB_HW),
    (37, "Driver firmware error", _FW, "IGNORE", "CHECK_APP", _WARN),
    (38, "Driver firmware error", _FW, "IGNORE", "CONTACT_SUPPORT", _FATAL_RB_HW),
    (
        (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, 126, 127, 128, 129, 130, 131, 132, 134, 135),
        "Copy-engine error",
        _APP,
        "RESTART_APP",
        "CONTACT_SUPPORT",
        _WARN,
    ),
    (133, "Copy-engine error", _APP, "RESTART_APP", "CONTACT_SUPPORT", ""),
    (43, "GPU stopped processing (channel reset)", _APP, "IGNORE", "CONTACT_SUPPORT", _WARN_APP),
    (44, "Graphics fault in context switch", _DRV, "IGNORE", "CONTACT_SUPPORT", _FATAL_RB_HW),
    (45, "Pre-emptive cleanup after an earlier error", _INFO, "WORKFLOW_XID_45", "", "warning: ignore"),
    (46, "GPU stopped processing", _HW, "RESET_GPU", "", _FATAL_RB),
    (48, "Double-bit ECC error", _HW, "WORKFLOW_XID_48", "", _FATAL_RB_HW),
    (54, "Auxiliary power not connected", _HW, "CHECK_MECHANICALS", "", _WARN),
    (60, "Video processor exception", _APP, "RESTART_APP", "INVESTIGATE_SW", _FATAL_RB),
    (61, "Internal micro-controller breakpoint or warning", _FW, "CONTACT_SUPPORT", "", ""),
    (62, "Internal micro-controller halt", _FW, "RESET_GPU", "", _FATAL_RB_HW),
    (63, "Row-remap event", _HW, "IGNORE", "", _FATAL_RB_HW),
    (64, "Row-remap failure", _HW, "RESET_GPU", "CONTACT_SUPPORT", _FATAL_RB_HW),
    ((66, 67), "Illegal access by the driver", _DRV, "IGNORE", "", _WARN),
    (68, "NVDEC0 exception", _APP, "RESTART_APP", "", _FATAL_RB_HW),
    (69, "Graphics class error", _APP, "RESTART_APP", "CHECK_APP", _FATAL_RB_HW),
    (74, "NVLink error", _LINK, "WORKFLOW_NVLINK_ERR", "", _FATAL_RB_HW),
    (78, "vGPU start error", _DRV, "UPDATE_SWFW", "", _FATAL_RB),
    (79, "GPU has fallen off the bus", _HW, "RESTART_BM", "CONTACT_SUPPORT", _FATAL_RB_HW),
    (80, "Corrupted data sent to the GPU", _HW, "RESTART_APP", "", _WARN),
    (
        (82, 83, 84, 86, 88, 89, *range(96, 106), 139),
        "NVJPG, NVDEC or OFA exception",
        _APP,
        "RESTART_APP",
        "",
        _WARN,
    ),
    (92, "High rate of single-bit ECC errors", _HW, "IGNORE", "CONTACT_SUPPORT", "warning: ignore"),
    (93, "InfoROM wear limit", _INFO, "IGNORE", "", _WARN),
    (94, "Contained memory error", _HW, "RESTART_APP", "", "fatal: reboot, then ignore; only after 1,000"),
    (95, "Uncontained memory error", _HW, "RESET_GPU", "", _FATAL_RB_HW),
    ((106, 107, 108), "SMBPBI test or unused", _INFO, "IGNORE", "", _WARN),
    (109, "Context-switch timeout", _DRV, "RESET_GPU", "", _WARN),
    (110, "Security fault", _FW, "RESET_GPU", "INVESTIGATE_SW", _FATAL_RB_HW),
    (119, "GSP RPC timeout", _FW, "RESET_GPU", "INVESTIGATE_SW", _FATAL_RB_HW),
    (120, "GSP error", _FW, "RESET_GPU", "INVESTIGATE_SW", _FATAL_RB_HW),
    (121, "C2C link error", _LINK, "IGNORE", "CONTACT_SUPPORT", _FATAL_RB_HW),
    (123, "SPI PMU error (unused in the catalogue)", _FW, "CONTACT_SUPPORT", "", _FATAL_RB_HW),
    (136, "Link training failed", _LINK, "RESET_GPU", "INVESTIGATE_LINK_SI", _WARN),
    (137, "NVLink privilege error", _LINK, "IGNORE", "XID_137_FLOW", _WARN_APP),
    (140, "Unrecovered ECC error", _HW, "RESET_GPU", "", _FATAL_RB_HW),
    (141, "CUDA fast-path error", _APP, "IGNORE", "", _WARN),
    (142, "NVENC3 error", _APP, "CONTACT_SUPPORT", "", _WARN),
    (143, "GPU initialisation error", _HW, "RESET_GPU", "", "fatal: inspect hardware"),
    (144, "NVLink5 SAW error", _LINK, _NVLINK5, "", _WARN_RB),
    (145, "NVLink5 RLW error", _LINK, _NVLINK5, "", _WARN_RB),
    (146, "NVLink5 TLW error", _LINK, _NVLINK5, "", _WARN_RB),
    (147, "NVLink5 TREX error", _LINK, _NVLINK5, "", _WARN_RB),
    (148, "NVLink5 NVLPW_CTRL error", _LINK, _NVLINK5, "", _WARN_RB),
    (149, "NVLink5 NETIR error", _LINK, _NVLINK5, "", "warning: reboot; subcodes 4, 10 fatal: inspect hardware"),
    (150, "NVLink5 MSE error", _LINK, _NVLINK5, "", _WARN_RB),
    (151, "Key rotation error", _FW, "RESTART_VM", "", _WARN_RB),
    (152, "DLA SMMU error", _INFO, "IGNORE", "", "info"),
    (153, "DLA timeout", _INFO, "IGNORE", "", "info"),
    (154, "GPU recovery action changed", _INFO, "XID_154", "", _WARN),
    (155, "NVLink software-defined error", _LINK, "RESET_GPU", "", _WARN_RB),
    (156, "Resource retirement event", _HW, "RESET_GPU", "", _WARN_RB),
    (157, "Resource retirement failure", _HW, "IGNORE", "", "info"),
    (158, "GPU fatal timeout", _HW, "RESET_GPU", "", _WARN_RB),
    (159, "CHI non-data error", _HW, "CHECK_UVM", "", _WARN),
    (160, "Channel retirement event", _INFO, "IGNORE", "", _WARN),
    (161, "Channel retirement failure", _INFO, "IGNORE", "", "info"),
    (162, "Power smoothing re-engaged", _INFO, "", "", "info"),
    (163, "Power smoothing disengaged", _HW, "", "", _WARN_RB),
    (164, "Power smoothing: low lifetime", _INFO, "", "", "info"),
    (165, "Power smoothing: lifetime exhausted", _INFO, "", "", "info"),
    (166, "Confidential-computing traffic before the link was encrypted", _LINK, "", "", _WARN_RB),
    (167, "PCIe fatal timeout", _HW, "", "", _WARN_RB),
    (168, "WPR error", _FW, "", "", _WARN),
    (169, "Internal micro-controller halt", _FW, "", "", _WARN_RB),
    (170, "Interrupt in confidential-computing mode", _APP, "", "", _WARN_APP),
    (171, "Extra detail to Xid 48", _HW, "", "", _WARN),
    (172, "Extra detail to Xid 48", _HW, "", "", _WARN_RB),
)


def _catalogue() -> dict[int, Xid]:
    catalogue: dict[int, Xid] = {}
    for codes, name, domain, action, investigatory, gpud in _ROWS:
        for code in (codes,) if isinstance(codes, int) else codes:
            catalogue[code] = Xid(
                code=code,
                name=name,
                domain=domain,
                nvidia_action=action,
                investigatory=investigatory,
                gpud=gpud,
                eks_fatal=code in _EKS_FATAL,
                imbue_hardware=code in _IMBUE_HARDWARE,
                gcm_critical=code not in _GCM_NOT_CRITICAL,
                nvsentinel_sticky=code in _NVSENTINEL_STICKY,
            )
    return dict(sorted(catalogue.items()))


XID_CATALOGUE: dict[int, Xid] = _catalogue()
"""Every Xid that NVIDIA's catalogue gives a meaning, by code. A code that is not here is unknown, not harmless."""
