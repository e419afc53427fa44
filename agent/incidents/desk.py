"""Where a person's word about an incident comes in: judged, stored with its audit entry, and told to the watch.

The store has the word first, so that it survives whatever happens next; the watch that runs over the cluster hears it
within a second and holds to it. What the word makes of an incident is worked out by a correlator of its own, the same
code that the watch runs: both come to the same.
"""

from collections.abc import Sequence

import msgspec

from agent.api.words import counted
from agent.server.spaces import Spaces
from agent.store.rows import Feedback, Judgement
from agent.store.store import ACTOR, Store
from agent.watch import Watch
from collectors.errors import GiveUp
from collectors.model import LIVE_ONLY
from detectors.correlation import Correlator, incident_id
from detectors.model import Finding, Incident, IncidentState, Word, WordKind

SECOND_NS = 1_000_000_000
LONGEST_SNOOZE_SECONDS = 90 * 86_400
"""Who wants to hear nothing for longer wants a policy, or a repair."""
LONGEST_NOTE = 2_000
"""Characters of a note; it is kept for as long as the incident is."""


class Conflict(GiveUp):
    """The incident stands otherwise: the word cannot be true (any more)."""


class Desk:
    """Takes words for one agent. Safe for threads; every method raises Conflict where the incident stands otherwise,
    GiveUp for words that make no sense, and what the store raises."""

    def __init__(self, store: Store, spaces: Spaces | None = None) -> None:
        """`spaces`: the watches that run; without them a word waits in the store for the next start."""
        self._store = store
        self._spaces = spaces

    def acknowledge(self, incident: Incident, who: str, now_ns: int) -> Incident:
        """Somebody has it in hand. Ends a snooze."""
        if incident.state is IncidentState.RESOLVED:
            raise Conflict(f"{incident.id} is resolved: nothing is left to acknowledge")
        after = self._store.acknowledge(incident.id, who, now_ns)
        # no number: the store keeps an acknowledgement beside what the watch says, whether or not that has heard it
        self._tell(after, Word(WordKind.ACKNOWLEDGE, incident.id, who, now_ns), 0)
        return after

    def snooze(self, incident: Incident, who: str, until_ns: int, now_ns: int, note: str = "") -> Incident:
        """Nothing more about it until then."""
        if incident.origin not in (self._spaces.as_live if self._spaces is not None else LIVE_ONLY):
            raise Conflict(
                f"{incident.id} is a {incident.origin.value}: it notifies nobody, and has a clock of its own"
            )
        if until_ns <= now_ns:
            raise GiveUp(f"{incident.id} cannot be snoozed until a time that is past: name one to come")
        if until_ns - now_ns > LONGEST_SNOOZE_SECONDS * SECOND_NS:
            raise GiveUp(f"{incident.id} can be snoozed for {LONGEST_SNOOZE_SECONDS // 86_400} days at most")
        word = Word(WordKind.SNOOZE, incident.id, who, now_ns, _note(note), until_ns=until_ns)
        return self._say(word, [incident.id], "snoozed")[0]

    def resolve(self, incident: Incident, who: str, now_ns: int, note: str = "") -> Incident:
        """It is over, whatever its findings say."""
        return self._say(Word(WordKind.RESOLVE, incident.id, who, now_ns, _note(note)), [incident.id], "resolved")[0]

    def merge(self, incident: Incident, into: Incident, who: str, now_ns: int, note: str = "") -> tuple[Incident, ...]:
        """Two have one cause: the findings of the first move to the second. Both, as they stand then."""
        if incident.id == into.id:
            raise GiveUp(f"{incident.id} cannot be merged into itself: name another incident")
        if (incident.origin, incident.subject.cluster) != (into.origin, into.subject.cluster):
            raise Conflict(
                f"{incident.id} and {into.id} are of different clusters or origins: they have no cause in common"
            )
        word = Word(WordKind.MERGE, incident.id, who, now_ns, _note(note), other=into.id, findings=incident.findings)
        return self._say(word, [incident.id, into.id], f"merged into {into.id}")

    def split(
        self, incident: Incident, findings: Sequence[str], who: str, now_ns: int, note: str = ""
    ) -> tuple[Incident, ...]:
        """Some findings have another cause: they become an incident of their own. Both, as they stand then.

        `findings`: ids, or beginnings of ids that fit one finding of the incident.
        """
        wanted = tuple(dict.fromkeys(_finding_of(incident, given) for given in findings))
        if not wanted:
            raise GiveUp(f"name the findings of {incident.id} that are to go: `watchstander incident` lists them")
        new = incident_id(f"{incident.id} {now_ns} {' '.join(sorted(wanted))}")
        word = Word(WordKind.SPLIT, incident.id, who, now_ns, _note(note), other=new, findings=wanted)
        return self._say(word, [incident.id], f"{counted(len(wanted), 'finding')} split off into {new}")

    def mitigate(self, incident: Incident, plan: str, now_ns: int, under: int | None = None) -> Incident:
        """A plan about it was carried out whole. The agent's own word: `under` as for `Store.save`."""
        word = Word(WordKind.MITIGATE, incident.id, ACTOR, now_ns, f"{plan} was carried out")
        return self._say(word, [incident.id], "mitigated", under)[0]

    def take_back(self, incident: Incident, who: str, now_ns: int, note: str, under: int | None = None) -> Incident:
        """What had mitigated it was taken back: whoever wanted that has it in hand. `under` as for `Store.save`."""
        word = Word(WordKind.ACKNOWLEDGE, incident.id, who, now_ns, _note(note))
        return self._say(word, [incident.id], "no longer mitigated", under)[0]

    def judge(self, incident: Incident, judgement: Judgement, who: str, now_ns: int, note: str = "") -> Feedback:
        """Whether something was wrong there. What the same person said before is replaced."""
        feedback = Feedback(incident.id, judgement, who, now_ns, _note(note))
        self._store.judge(feedback, incident.title)
        return feedback

    def _say(self, word: Word, about: Sequence[str], done: str, under: int | None = None) -> tuple[Incident, ...]:
        def work(incidents: list[Incident], findings: list[Finding], sequence: int) -> tuple[list[Incident], str]:
            held = {incident.id: incident for incident in incidents}
            for id_ in about:
                if id_ not in held:
                    raise Conflict(f"no incident {id_[:60]} any more; `watchstander incidents` lists them")
                if held[id_].state is IncidentState.RESOLVED:
                    raise Conflict(f"{id_} is resolved: {held[id_].resolved_because or 'nothing is left to do'}")
            correlator = Correlator()
            correlator.restore(incidents, findings)
            said = correlator.say(word, sequence, word.time_ns)
            # what a capped list left out went along with it: the watch knows where, the store only how many
            unlisted = sum(incident.left_out for incident in incidents)
            takes = word.other if word.kind is WordKind.MERGE else word.incident
            spaces = tuple(sorted({name for incident in incidents for name in incident.namespaces}))
            after = [
                msgspec.structs.replace(i, left_out=unlisted, namespaces=spaces) if i.id == takes else i for i in said
            ]
            return after, f"{done}: {held[word.incident].title}"

        changed, sequence = self._store.say(word, about, work, under)
        by_id = {incident.id: incident for incident in changed}
        self._tell(changed[0], word, sequence)
        order = dict.fromkeys((word.incident, word.other))
        return tuple(by_id[id_] for id_ in order if id_ in by_id)

    def _tell(self, incident: Incident, word: Word, sequence: int) -> None:
        watch = self._spaces.get(incident.origin, incident.subject.cluster) if self._spaces is not None else None
        if isinstance(watch, Watch):
            watch.hear(word, sequence)


def _note(note: str) -> str:
    if len(note) > LONGEST_NOTE:
        raise GiveUp(f"a note may have {LONGEST_NOTE:,} characters, this one has {len(note):,}: shorten it")
    return note


def _finding_of(incident: Incident, given: str) -> str:
    """The finding that an id or its beginning names."""
    wanted = given.strip().lower()
    fits = [id_ for id_ in incident.findings if wanted and id_.lower().startswith((wanted, f"f-{wanted}"))]
    exact = [id_ for id_ in fits if id_.lower() == wanted]
    if len(exact or fits) == 1:
        return (exact or fits)[0]
    if not fits:
        raise GiveUp(f"{given[:60]!r} is no finding of {incident.id}: `watchstander incident` lists them")
    raise GiveUp(f"{given[:60]!r} fits {len(fits)} findings of {incident.id}: {', '.join(fits[:5])}; give more of it")
