"""`/jobs/{name}` (a name or id, slashes and all): the card of a job, and where its time went as a bar."""

from dataclasses import dataclass

from starlette.requests import Request

from agent.access.visible_jobs import attempts_of
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.jobs.card import JobCard, cards_of
from agent.web.render import View, page, visible_of

WIDTH = 1000.0
QUESTIONS = (
    "Why did it die?",
    "What did it cost?",
    "May I restart it?",
    "From where?",
    "Without whom?",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the bar, in units of its width of 1000."""

    cause: str
    x: str
    width: str
    share: float
    wall_seconds: float
    gpu_hours: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One job as the page shows it."""

    card: JobCard
    answers: list[tuple[str, str]]
    bar: list[Part]


def bar_of(card: JobCard) -> list[Part]:
    """The causes side by side, the whole as wide as the bar."""
    parts, at = [], 0.0
    for line in card.account:
        width = line.share * WIDTH
        parts.append(Part(line.cause.value, f"{at:.1f}", f"{width:.1f}", line.share, line.wall_seconds, line.gpu_hours))
        at += width
    return parts


def job_page(request: Request) -> View:
    """GET /jobs/{name}"""
    wanted = request.path_params["name"]
    attempts = attempts_of(visible_of(request), wanted)
    if not attempts:
        raise Problem(404, f"no such job: {wanted[:60]}", request.url.path, "/nodes lists those that are known")
    gpu_hour, currency = prices_of(request)
    cards = cards_of(attempts, gpu_hour=gpu_hour, currency=currency)
    shown = [Shown(card, list(zip(QUESTIONS, card.answers, strict=True)), bar_of(card)) for card in cards]
    return View("job.html", {"title": f"{cards[0].name} - Watchstander", "jobs": shown, "name": cards[0].name})


ROUTES = [page("/jobs/{name:path}", job_page, cut=True)]
