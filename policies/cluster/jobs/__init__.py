"""How each controller of jobs restarts a gang: one module each. See docs/actions.md."""
