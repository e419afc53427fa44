"""Jobs and their attempts: what happened to each, where its time went, and what a person may do now."""
