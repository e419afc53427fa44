"""Which job and rank a GPU works for: process id -> cgroup -> pod -> followed log -> job; its environment -> rank."""
