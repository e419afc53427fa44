from jobs_story import attempt, story

__all__ = ["attempt", "story"]
