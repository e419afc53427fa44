"""Everything around one incident in one file: gathered, masked, renamed on request, written. docs/bundle.md."""
