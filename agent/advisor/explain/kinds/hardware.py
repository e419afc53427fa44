"""The card itself: Xids, lost cards, memory errors."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from collectors.kernel_log.xid_catalogue import Xid, XidDomain
from detectors.model import FindingKind

REMEDY: dict[str, str] = {
    "RESTART_APP": "restart the application",
    "RESET_GPU": "reset the GPU, with nothing running on it",
    "RESTART_BM": "restart the machine",
    "RESTART_VM": "restart the virtual machine",
    "CONTACT_SUPPORT": "contact NVIDIA's or the vendor's support",
    "IGNORE": "nothing at once",
    "CHECK_APP": "look into the application",
    "CHECK_APP/CUDA": "look into the application and its CUDA calls",
    "CHECK_MECHANICALS": "check the power cable and the seat of the card",
    "CHECK_UVM": "look into the use of unified memory",
    "UPDATE_SWFW": "update driver and firmware",
    "INVESTIGATE_SW": "look into driver and firmware",
    "INVESTIGATE_LINK_SI": "look into the link's signal",
    "WORKFLOW_XID_13": "rule out the application first, then the card (field diagnostics)",
    "WORKFLOW_XID_31": "rule out the application first, then the card (field diagnostics)",
    "WORKFLOW_XID_45": "follow the other Xid or the killed process beside it",
    "WORKFLOW_XID_48": "drain the node and reset the GPU",
    "WORKFLOW_NVLINK_ERR": "reset the GPUs at both ends of the link; reseat or replace if it recurs",
    "WORKFLOW_NVLINK5_ERR": "decode unit and status; a fatal one asks for a reset",
    "XID_137_FLOW": "look into the application's use of NVLink",
    "XID_154": "do what the line itself names",
}
"""NVIDIA's actions in words. docs/xids.md says what other systems make of the same codes."""

LOOK_IN: dict[XidDomain, str] = {
    XidDomain.APPLICATION: "the program that used the GPU; the card is sound unless it recurs with other programs",
    XidDomain.HARDWARE: "the card",
    XidDomain.LINK: "a link between cards; the other end reports it too",
    XidDomain.FIRMWARE: "the card's own processor or its firmware",
    XidDomain.DRIVER: "the driver",
    XidDomain.INFORMATIONAL: "nothing: it reports what was done about something else",
}


def xid(case: Case) -> Words:
    """Xids by NVIDIA's catalogue."""
    if not case.xids():
        return _switch(case)
    causes, do = [], []
    for code, entry in case.xids():
        if entry is None:
            text = f"Xid {code} is not in NVIDIA's catalogue: unknown, not harmless. {case.shown('xid')}."
            causes.append(Cause(text, "possible", case.refs("xid")))
            continue
        text = f"Xid {code}, {entry.name.lower()}: look first at {LOOK_IN[entry.domain]}. {case.shown('xid')}."
        causes.append(Cause(text, sure(case.root), case.refs("xid")))
        do.extend(_remedies(code, entry))
    if any(entry and entry.domain is XidDomain.APPLICATION for _, entry in case.xids()):
        causes.append(Cause("It could also be the card, if other jobs see it on this same GPU.", "unlikely"))
    check = (
        f"whether the same code came before on {case.place}, and on other GPUs of {case.job}",
        "`nvidia-smi -q` on the node: ECC, remapped rows, and the GPU's recovery action",
    )
    return Words(tuple(causes), check, tuple(do) or ("ask support what the code means, and keep the kernel log",))


def gpu_lost(case: Case) -> Words:
    """A card that no longer answers."""
    fell = any(code == 79 for code, _ in case.xids())
    seen = "the kernel log (Xid 79) and NVML agree" if fell and "nvml" in case.sources() else case.shown()
    return Words(
        (
            Cause(f"The card has fallen off the PCIe bus or stopped answering: {seen}.", sure(case.root), case.refs()),
            Cause("Power, heat or the seat of the card in its slot brought it about.", "possible"),
            Cause("The driver or its firmware hangs and the card is sound.", "unlikely" if fell else "possible"),
            Cause("Not the job: a program cannot take a card off the bus.", "ruled out", case.refs()),
        ),
        (
            f"`lspci` on {case.node}: whether the card is listed; the kernel log for AER lines before it",
            "whether the machine's management controller reports power or temperature",
        ),
        (
            f"take {case.node} out of service: new pods would fail there while it still looks Ready",
            "restart the machine (NVIDIA: RESTART_BM); a reset is not enough for a card that is off the bus",
            "if it happens a second time, have the card reseated or replaced",
        ),
    )


def ecc_uncorrectable(case: Case) -> Words:
    """Memory that lost data."""
    codes = {code for code, _ in case.xids()}
    contained = 94 in codes and not codes & {48, 95, 140}
    fate = (
        "it stayed within one process (Xid 94), other processes on the card are sound"
        if contained
        else "no data on the card can be trusted until it is reset"
    )
    return Words(
        (
            Cause(
                f"A memory cell of {case.place} failed beyond repair by ECC: {case.shown()}; {fate}.",
                sure(case.root),
                case.refs(),
            ),
            Cause("A single event (a particle): the row is remapped at the next reset and that is all.", "possible"),
            Cause("The memory is wearing out: more errors or remapped rows will follow.", "possible"),
            Cause("Not the job: a program cannot bring about an uncorrectable error.", "ruled out", case.refs()),
        ),
        (
            "how many rows the card has remapped so far: more than ten make it a card to return",
            "whether the counter goes on rising after the reset",
        ),
        (
            f"restart {case.job} from its last checkpoint, elsewhere" if not contained else f"restart {case.job}",
            "reset the GPU when it is idle, so that the row is remapped"
            if contained
            else f"cordon {case.node}, drain it and reset the GPU before the next job",
            "return the card if it recurs",
        ),
    )


def ecc_correctable_storm(case: Case) -> Words:
    """Corrected errors in numbers."""
    return Words(
        (
            Cause(
                f"A memory cell or row of {case.place} is failing; ECC still repairs every error: {case.shown()}.",
                "likely",
                case.refs(),
            ),
            Cause("Heat or power makes sound memory err.", "possible"),
            Cause("No data has been lost: corrected errors are repaired.", "ruled out", case.refs()),
        ),
        ("the temperature of the memory against its peers'", "remapped rows, and whether the rate rises under load"),
        (
            "let the job go on; the repair costs some bandwidth, no data",
            "reset the GPU at the next pause, and test its memory before it is trusted with a long job",
        ),
    )


def row_remap(case: Case) -> Words:
    """Rows that were, will or could not be remapped."""
    failed = case.root.severity.value == "critical"
    what = (
        "A remap failed: the bank has no spare rows left, NVIDIA's sign to return the card"
        if failed
        else "A failing row was, or at the next reset will be, replaced by a spare one"
    )
    return Words(
        (
            Cause(f"{what}. {case.shown()}.", sure(case.root), case.refs()),
            Cause("One weak row among sound ones.", "unlikely" if failed else "likely"),
            Cause("The memory is wearing out: more remaps will follow.", "likely" if failed else "possible"),
        ),
        ("how many rows were remapped before; more than ten is a card to return",),
        (
            f"cordon {case.node}, let running work end, and have the card replaced"
            if failed
            else "reset the GPU at the next pause; until then the bad row may be used",
        ),
    )


def _remedies(code: int, entry: Xid) -> list[str]:
    steps = []
    if entry.nvidia_action:
        steps.append(f"Xid {code}: {_in_words(entry.nvidia_action)} (NVIDIA: {entry.nvidia_action})")
    if entry.investigatory:
        steps.append(f"if that does not help: {_in_words(entry.investigatory)}")
    return steps or [f"Xid {code}: NVIDIA names no action; watch whether it recurs"]


def _in_words(action: str) -> str:
    return REMEDY.get(action, "follow NVIDIA's workflow")


def _switch(case: Case) -> Words:
    """SXids, and Xids whose code is not in the evidence."""
    return Words(
        (
            Cause(
                f"The driver reported an error of a card or of an NVSwitch: {case.shown()}.",
                sure(case.root),
                case.refs(),
            ),
            Cause("A consequence: a lost card makes its switch report the dead link.", "possible"),
        ),
        ("the kernel log around it: Xids of the cards on the same node", "the fabric manager's log"),
        ("a fatal one: drain the node and reset GPUs and switches; a non-fatal one: watch whether it recurs",),
    )


KINDS = {
    FindingKind.XID: xid,
    FindingKind.GPU_LOST: gpu_lost,
    FindingKind.ECC_UNCORRECTABLE: ecc_uncorrectable,
    FindingKind.ECC_CORRECTABLE_STORM: ecc_correctable_storm,
    FindingKind.ROW_REMAP: row_remap,
}
