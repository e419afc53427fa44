"""What a training job's own loss, gradient norm and loss scale say: NaN, divergence, spikes."""

from detectors.loss.detector import LossDetector

__all__ = ["LossDetector"]
