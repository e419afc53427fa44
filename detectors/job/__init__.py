"""What a job's log and its ranks' GPUs tell together."""
