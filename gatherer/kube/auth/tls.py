"""TLS with an API server: whom to trust, and the client certificate."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.selection import Cluster, Material


def ssl_context_of(cluster: Cluster) -> ssl.SSLContext:
    """Returns the trust in a cluster, without a client certificate.

    Args:
        cluster: of a kubeconfig.

    Raises:
        ClusterUnreachable: its certificate authority cannot be loaded.
    """
    authority = cluster.certificate_authority
    try:
        if authority.data:
            context = ssl.create_default_context(cadata=authority.data.decode("ascii", "replace"))
        elif authority.path:
            context = ssl.create_default_context(cafile=authority.path)
        else:
            context = ssl.create_default_context()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        where = authority.path or "certificate-authority-data"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClusterUnreachable(
            f"the certificate authority {where} cannot be loaded: {reason}",
            "correct certificate-authority of the cluster in the kubeconfig",
        ) from error
    # Python 3.13 rejects CAs without an authority key identifier, as old kubeadm clusters have;
    # kubectl accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False  # nor does kubectl look at it
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_readable(material: Material, name: str) -> None:
    """Makes sure that a file that a kubeconfig names can be read.

    Args:
        material: in the kubeconfig, or in a file.
        name: of the field.

    Raises:
        ClusterUnreachable: it cannot.
    """
    if material.path and not os.access(material.path, os.R_OK):
        raise ClusterUnreachable(
            f"{name} {material.path} cannot be read", f"correct {name} in the kubeconfig"
        )


def load_client_certificate(context: ssl.SSLContext, certificate: Material, key: Material) -> None:
    """Loads a client certificate; OpenSSL only takes files, so data passes through one.

    Raises:
        ClusterUnreachable: they are none, or do not belong together.
    """
    with tempfile.TemporaryDirectory(prefix="gatherer-") as directory:  # mode 0700
        paths = []
        for material, name in ((certificate, "certificate"), (key, "key")):
            path = material.path or os.path.join(directory, name)
            if not material.path:
                Path(path).write_bytes(material.data)
            paths.append(path)
        try:
            # A password would be asked for on the terminal; an encrypted key is refused instead.
            context.load_cert_chain(paths[0], paths[1], password=b"")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise ClusterUnreachable(
                f"the client certificate cannot be loaded: {reason}",
                "correct client-certificate and client-key of the user in the kubeconfig",
            ) from error
