"""One job: its attempts, where its time went, and what a person may do now."""

from dataclasses import replace

import msgspec

from agent.access.visible_jobs import attempts_of
from agent.api.operation import ApiRoute, Call, operation
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.jobs.card import JobCard, cards_of


class JobQuery(msgspec.Struct, frozen=True):
    """Of one cluster, or of all."""

    cluster: str | None = None


class JobCards(msgspec.Struct, frozen=True):
    """The cards of all jobs of this name or id, the one begun last first: several may share a name."""

    jobs: list[JobCard]


def one_job(call: Call[JobQuery]) -> JobCards:
    """GET /v1/jobs/{name}"""
    wanted = call.path["name"]
    attempts = attempts_of(call.visible, wanted, call.query.cluster)
    if not attempts:
        raise Problem(404, f"no such job: {wanted[:60]}", call.request.url.path, "GET /v1/jobs lists them")
    gpu_hour, currency = prices_of(call.request)
    return JobCards(cards_of(attempts, gpu_hour=gpu_hour, currency=currency))


def _route() -> ApiRoute:
    route = operation(
        "GET",
        "/v1/jobs/{name:path}",
        one_job,
        query=JobQuery,
        answer=JobCards,
        summary="One job by name or id: attempts, goodput, and whether, whence and without whom to restart",
        right="read",
        errors=(404,),
        cut=True,
    )
    # Ids may hold slashes (`namespace/name`), so it is matched as a path; what it is called stays plain.
    route.path = "/v1/jobs/{name}"
    route.operation = replace(route.operation, path=route.path)
    return route


ROUTES = [_route()]
