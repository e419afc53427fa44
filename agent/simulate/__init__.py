"""A simulated cluster: nodes, jobs and faults with the physics of the recordings, told by simulated collectors."""
