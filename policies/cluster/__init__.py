"""The only code that writes to the Kubernetes API: one room a step kind. See docs/actions.md."""
