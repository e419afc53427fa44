"""docs/xids.md, made from the catalogue."""

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE


def as_markdown() -> str:
    """docs/xids.md: the catalogue as a table."""
    lines = [
        "# Xids",
        "",
        "What each NVIDIA Xid means and what different systems make of it. They do not agree, so Watchstander keeps",
        "all verdicts and leaves the choice to policy. Made from `collectors/kernel_log/xid_catalogue.py`:",
        "",
        "```",
        "python -m collectors.kernel_log.xid_page > docs/xids.md",
        "```",
        "",
        "- **NVIDIA**: immediate action of NVIDIA's catalogue (2025-10-29), and the one after it",
        "- **gpud**: severity and actions of gpud",
        "- **EKS**: fatal to the EKS node monitoring agent",
        "- **Imbue**: on Imbue's list of hardware faults",
        "- **gcm**: critical to Meta's GPU cluster monitoring, which calls every Xid critical but eight",
        "- **NVSentinel**: sticky there",
        "",
        "An Xid that is not listed is unknown, not harmless.",
        "",
        "| Xid | name | domain | NVIDIA | gpud | EKS | Imbue | gcm | NVSentinel |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for xid in XID_CATALOGUE.values():
        nvidia = " → ".join(filter(None, (xid.nvidia_action, xid.investigatory)))
        marks = ("fatal" * xid.eks_fatal, "yes" * xid.imbue_hardware, "critical" * xid.gcm_critical)
        cells = (str(xid.code), xid.name, xid.domain, nvidia, xid.gpud, *marks, "sticky" * xid.nvsentinel_sticky)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201 - its output is the page
