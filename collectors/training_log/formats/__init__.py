"""Step lines: one file per trainer's format, found by itself. The first reader that understands a line has it."""
