"""Incidents against the truth of a recording."""
