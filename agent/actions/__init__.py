"""From decisions to the cluster: who leads, whose turn it is, who has said yes. See docs/approval.md."""
