"""What else training logs say: one file per kind of line, found by itself. Every reader is asked."""
