"""The bearer token that a kubeconfig holds or makes: a person's own, for an agent that asks the API server whose it is.

Exec plugins (cloud logins, OIDC) run as kubectl runs them. The official client reads the file: one reading for all.
"""

from pathlib import Path

import yaml
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes.config.config_exception import ConfigException

from collectors.errors import FixConfiguration

_SCHEME = "Bearer "


def token_of(path: Path, context: str | None = None) -> str:
    """The token of a context (the current one by default). FixConfiguration where there is none, or no such file."""
    configuration = kube.Configuration()
    where = f"kubeconfig {path}{f', context {context}' if context else ''}"
    try:
        kube_config.load_kube_config(  # type: ignore[no-untyped-call]
            str(path), context=context, client_configuration=configuration, persist_config=False
        )
        said = configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise FixConfiguration(f"{where}: {' '.join(str(error).split())[:300] or type(error).__name__}") from None
    token = said[len(_SCHEME) :].strip() if said.startswith(_SCHEME) else said.strip()
    if not token:
        raise FixConfiguration(
            f"{where}: no token is in it, nor does its plugin make one (a client certificate proves nothing to the "
            "agent): `kubectl create token ACCOUNT --audience watchstander` makes one, for a file and --token-file"
        )
    if not token.isascii() or any(byte <= " " for byte in token):
        raise FixConfiguration(f"{where}: the token is not one word of plain characters")
    return token
