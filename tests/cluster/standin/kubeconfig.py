"""The kubeconfig of the cluster: one context for each user. Pure.

It is written as JSON, which is YAML too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.cluster.standin.authority import KeyPair


def kubeconfig(
    server: str, authority_pem: str, tokens: Mapping[str, str], certificates: Mapping[str, KeyPair]
) -> str:
    """Returns the file's text.

    Args:
        server: URL of the API server.
        authority_pem: certificate of the authority.
        tokens: bearer token of every user that has one; a context has its user's name.
        certificates: likewise client certificates.
    """
    users: dict[str, dict[str, Any]] = {name: {"token": token} for name, token in tokens.items()}
    for name, pair in certificates.items():
        users[name] = {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }
    cluster = {"server": server, "certificate-authority-data": _base64(authority_pem)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "standin", "cluster": cluster}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [
                {
                    "name": name,
                    "context": {"cluster": "standin", "user": name, "namespace": "default"},
                }
                for name in users
            ],
            "current-context": "admin",
        },
        indent=2,
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
