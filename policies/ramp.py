"""How a wave lets go: a few nodes first, more in each step, so that it neither freezes repair nor stampedes (P4)."""

from policies.guard_settings import WaveSettings

_NS = 1_000_000_000


def release_ns(wave: WaveSettings, first_ns: int, last_ns: int) -> int:
    """When the first node may go: after quiet, or at the latest some time after the first was hit. Unix ns."""
    return min(last_ns + wave.quiet_seconds * _NS, first_ns + wave.longest_seconds * _NS)


def allowance(wave: WaveSettings, released_ns: int, now_ns: int) -> int:
    """Nodes that may have been acted on by now, all steps together; 0 before the release."""
    if now_ns < released_ns:
        return 0
    steps = (now_ns - released_ns) // (wave.step_seconds * _NS) + 1
    total, size = 0, float(wave.first)
    for done in range(steps):
        if size >= wave.largest:
            return total + wave.largest * (steps - done)
        if wave.factor == 1.0:
            return wave.first * steps
        total += int(size)
        size *= wave.factor
    return total


def next_step_ns(wave: WaveSettings, released_ns: int, now_ns: int) -> int:
    """When the allowance grows next, Unix ns."""
    if now_ns < released_ns:
        return released_ns
    return now_ns + wave.step_seconds * _NS - (now_ns - released_ns) % (wave.step_seconds * _NS)
