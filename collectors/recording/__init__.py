"""A recording played through the collector as if it happened now."""
