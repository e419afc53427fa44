"""Hardware faults that the kernel log or the driver library states itself."""
