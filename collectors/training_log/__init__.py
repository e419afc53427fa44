"""What training jobs print: steps, checkpoints, evaluations, and how they fail."""

from collectors.training_log.parser import TrainingLogCounters, TrainingLogParser

__all__ = ["TrainingLogCounters", "TrainingLogParser"]
