"""What runs here: the version, the detectors, and the description of this API."""

import platform
from importlib.metadata import version as installed

import msgspec

from agent.api.detector_list import DetectorShape, known_detectors
from agent.api.openapi import document
from agent.api.operation import Call, NoQuery, operation
from collectors.model import WIRE_VERSION


class Version(msgspec.Struct, frozen=True):
    """What runs here."""

    version: str
    wire_version: int
    python: str


class Detectors(msgspec.Struct, frozen=True):
    """What is looked for, and what each look needs."""

    detectors: list[DetectorShape]


def running_version() -> Version:
    """Of this process."""
    return Version(installed("watchstander"), WIRE_VERSION, platform.python_version())


def version(_call: Call[NoQuery]) -> Version:
    """GET /v1/version"""
    return running_version()


def detectors(_call: Call[NoQuery]) -> Detectors:
    """GET /v1/detectors"""
    return Detectors(known_detectors())


def openapi(_call: Call[NoQuery]) -> dict[str, object]:
    """GET /v1/openapi.json"""
    return document()


ROUTES = [
    operation(
        "GET", "/v1/version", version, query=NoQuery, answer=Version, summary="What runs here", right="read", cut=True
    ),
    operation(
        "GET",
        "/v1/detectors",
        detectors,
        query=NoQuery,
        answer=Detectors,
        summary="What is looked for",
        right="read",
        cut=True,
    ),
    operation(
        "GET",
        "/v1/openapi.json",
        openapi,
        query=NoQuery,
        answer=dict,
        summary="This description",
        right="read",
        cut=True,
    ),
]
