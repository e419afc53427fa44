"""Fills the inventory with what collectors cannot know: racks, pools, domains, pods and jobs, by file or API."""
