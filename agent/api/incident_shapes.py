"""What the API says about an incident besides the incident: cost, peers, base rate, its like, what people said."""

import msgspec

from agent.api.shapes import IncidentShape
from agent.incidents.context import Context
from agent.incidents.cost import Bound, Cost
from agent.incidents.quality import Quality
from agent.store.rows import Feedback, Judgement
from detectors.model import Word, WordKind


class CostShape(msgspec.Struct, frozen=True):
    """What it has cost so far; docs/incidents.md has the rule."""

    bound: Bound
    gpus_idle: float | None
    """GPUs' worth of work lost now; null where unknown."""
    ranks: int | None
    gpu_seconds: float | None
    money: float | None
    """null where no price is set."""
    currency: str
    sentence: str

    @classmethod
    def of(cls, cost: Cost, currency: str) -> "CostShape":
        """From the model."""
        return cls(cost.bound, cost.gpus_idle, cost.ranks, cost.gpu_seconds, cost.money, currency, cost.sentence)


class PeersShape(msgspec.Struct, frozen=True):
    """How many show the same at the same time."""

    node_affected: int | None
    node_total: int | None
    fleet_affected: int
    fleet_total: int | None
    sentence: str


class BaseRateShape(msgspec.Struct, frozen=True):
    """How often this kind was seen here in 30 days, this one among them, and what is usual elsewhere."""

    here: int
    fleet_median: float | None
    sentence: str


class SimilarShape(msgspec.Struct, frozen=True):
    """An earlier incident of the same kind, and how it ended."""

    incident: IncidentShape
    shares: str
    ended: str


class ContextShape(msgspec.Struct, frozen=True):
    """The incident among its like."""

    peers: PeersShape
    base_rate: BaseRateShape
    similar: list[SimilarShape]

    @classmethod
    def of(cls, context: Context) -> "ContextShape":
        """From the model, as its reader may see it."""
        peers, rate = context.peers, context.base_rate
        return cls(
            PeersShape(peers.node_affected, peers.node_total, peers.fleet_affected, peers.fleet_total, peers.sentence),
            BaseRateShape(rate.here, rate.fleet_median, rate.sentence),
            [SimilarShape(IncidentShape.of(one.incident), one.shares, one.ended) for one in context.similar],
        )


class HiddenShape(msgspec.Struct, frozen=True):
    """How much of an incident you may not read, as counts; all 0 for who may read everything."""

    findings: int
    evidence: int
    """Pieces, of the findings that are shown."""
    events: int
    words: int
    """Words and judgements of people."""
    similar: int
    plans: int


class WordShape(msgspec.Struct, frozen=True):
    """What a person made of it. `note` is the person's own text: it is hostile."""

    kind: WordKind
    who: str
    time_ns: int
    note: str
    until_ns: int | None
    other: str
    """The other incident of a merge or split."""
    findings: list[str]

    @classmethod
    def of(cls, word: Word) -> "WordShape":
        """From the model."""
        return cls(word.kind, word.who, word.time_ns, word.note, word.until_ns, word.other, list(word.findings))


class FeedbackShape(msgspec.Struct, frozen=True):
    """What a person thinks of it. `note` is the person's own text: it is hostile."""

    incident: str
    judgement: Judgement
    who: str
    time_ns: int
    note: str

    @classmethod
    def of(cls, feedback: Feedback) -> "FeedbackShape":
        """From the store's row."""
        return cls(feedback.incident, feedback.judgement, feedback.who, feedback.time_ns, feedback.note)


class QualityShape(msgspec.Struct, frozen=True):
    """One kind or rule by the word of people."""

    name: str
    incidents: int
    true: int
    false: int
    duplicate: int
    unjudged: int
    unjudged_share: float
    precision: float | None
    """true / (true + false); null where nobody said either."""
    low: float | None
    """Wilson's 95 % interval of the precision."""
    high: float | None

    @classmethod
    def of(cls, quality: Quality) -> "QualityShape":
        """From the figures."""
        low, high = quality.interval or (None, None)
        return cls(
            name=quality.name,
            incidents=quality.total,
            true=quality.true,
            false=quality.false,
            duplicate=quality.duplicate,
            unjudged=quality.unjudged,
            unjudged_share=quality.unjudged_share,
            precision=quality.precision,
            low=low,
            high=high,
        )
