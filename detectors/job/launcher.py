"""Which card's process a launcher speaks of: torchelastic names the local rank, and the log comes from its node."""

from msgspec.structs import replace

from collectors.model import Event, EventKind, Subject
from detectors.model import Inventory

CARD = "card"
"""Attribute of an event within the detectors: id of the card that a rank works on."""


def with_card(event: Event, node: Subject, inventory: Inventory) -> Event:
    """An exit with a local rank, with its card and its rank; any other event as it is.

    Local rank n is the n-th of the job's ranks on the node: launchers number them so, and a pod may hold only some of
    the node's cards.
    """
    told = event.attributes.get("local_rank", "")
    if event.kind is not EventKind.PROCESS_EXIT or not (told.isascii() and told.isdigit()):
        return event
    ranks = []
    for card in inventory.gpus_of(node):
        rank = inventory.attribute(card, "rank") or ""
        if rank.isascii() and rank.isdigit() and inventory.job_of(card) == event.subject:
            ranks.append((int(rank), card.id))
    ranks.sort()
    place = int(told[:6])
    if place >= len(ranks):
        return event
    rank_found, card_id = ranks[place]
    said = event.attributes.get("rank", str(rank_found))
    if said != str(rank_found):
        return event  # the log's own word on the rank contradicts the inventory: nothing is guessed
    return replace(event, attributes=event.attributes | {"rank": said, CARD: card_id})
