"""The OpenAPI 3.1 description of the API, made from the operations themselves and their msgspec types."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from agent.api import routes
from agent.api.operation import ApiRoute, Operation
from agent.api.problem import ErrorBody

REFERENCE = "#/components/schemas/{name}"
STATUS = {400: "A bad request", 404: "No such thing", 409: "It stands otherwise by now"}


def api_routes() -> Iterator[ApiRoute]:
    """Every route of `agent/api/routes`, by file name."""
    for module in sorted(pkgutil.iter_modules(routes.__path__), key=lambda module: module.name):
        for route in importlib.import_module(f"{routes.__name__}.{module.name}").ROUTES:
            if isinstance(route, ApiRoute):
                yield route


@cache
def document() -> dict[str, object]:
    """The whole description; the same object each time, not to be changed."""
    operations = [route.operation for route in api_routes()]
    types: list[Any] = [ErrorBody]
    for operation in operations:
        types += [operation.answer, operation.query]
    bodies = [operation.body for operation in operations if operation.body is not None]
    types += bodies
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    described = schemas[1 : 1 + 2 * len(operations)]
    answers = dict(zip((op.path + op.method for op in operations), described[::2], strict=True))
    told = dict(zip(bodies, schemas[1 + 2 * len(operations) :], strict=True))
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        queries = components.get(operation.query.__name__, {})
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(
            operation, answers[operation.path + operation.method], queries, schemas[0]
        )
        if operation.body is not None:
            content = {"application/json": {"schema": told[operation.body]}}
            paths[operation.path][operation.method.lower()]["requestBody"] = {"required": True, "content": content}  # type: ignore[index]  # JSON
    used = {operation.query.__name__ for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Watchstander",
            "version": version("watchstander"),
            "description": "Incidents of a GPU cluster: what, where, why, and what would be done about it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in used},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _refusal(operation: Operation) -> str:
    lacks = f"The credential lacks the right `{operation.right}`"
    if not operation.cut:
        return f"{lacks}, or holds it in single namespaces only: this cannot be cut by namespace"
    return f"{lacks}" if operation.method == "GET" else f"{lacks}, or holds it in fewer namespaces than this touches"


def _described(
    operation: Operation, answer: dict[str, Any], query: dict[str, Any], error: dict[str, Any]
) -> dict[str, object]:
    parameters: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    for name, schema in query.get("properties", {}).items():
        parameter: dict[str, object] = {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            "schema": schema,
        }
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        parameters.append(parameter)
    told = answer if operation.media_type == "application/json" else {"type": "string", "format": "binary"}
    responses: dict[str, object] = {
        "200": {"description": "As asked", "content": {operation.media_type: {"schema": told}}},
        "401": {"description": "No credential, or not one that is known"},
        "403": {"description": _refusal(operation)},
        "503": {"description": "Busy; try again", "content": {"application/json": {"schema": error}}},
    }
    for status in operation.errors:
        content = {"application/json": {"schema": error}}
        responses[str(status)] = {"description": STATUS[status], "content": content}
    words = re.findall(r"\w+", operation.path.removeprefix("/v1/"))
    return {
        "operationId": "_".join([operation.method.lower(), *words]),
        "summary": operation.summary,
        "x-right": operation.right,
        "x-namespaces": "cut" if operation.cut else "refused",
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
    }
