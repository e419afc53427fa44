"""What people see and say of an incident: cost, peers, base rate, what became of its like; acknowledge, snooze,
resolve, merge, split, feedback; and how near each detector was to speaking."""
