"""Makes `simulated_fleet` importable from the folders below."""
