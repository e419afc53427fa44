"""How batches leave a node and never get lost: spool, sender, quarantine."""
