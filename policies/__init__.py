"""Floor 3: incidents in, decisions out. See docs/policies.md."""
