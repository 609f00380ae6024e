# SPDX-License-Identifier: Apache-2.0
"""etcd and apiextensions-apiserver on loopback, with a certificate authority of their own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cluster.build import Programs

__all__ = ["CRDS", "ApiServer"]

CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

_SECONDS: Final = 120
#: They ask for objects of the core API, or for other servers, and there are none.
_WITHOUT: Final = (
    "NamespaceLifecycle",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionWebhook",
    "MutatingAdmissionPolicy",
    "ValidatingAdmissionPolicy",
)
_SUBJECT: Final = "/O=system:masters/CN=admin"


class ApiServer:
    """A running server, a context manager; nothing of it is left outside *directory*.

    ``versions`` are those of the Debian packages that it is made of.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._stack = ExitStack()
        self.versions = programs.versions
        self._port = 0

    def __enter__(self) -> Self:
        """Start both, and wait until the server is ready.

        :raise RuntimeError: with the end of its log, if it is not within two minutes.
        """
        with ExitStack() as stack:
            client, peer, self._port = _free_ports(3)
            self._start(stack, "etcd", self._programs.etcd + _etcd_options(self._directory, client, peer))
            self._certify()
            self._write_config()
            self._start(stack, "server", self._programs.server + self._options(client))
            self._wait()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self._stack.close()

    def read(self, path: str) -> Any:
        """What the server has at *path*.

        :raise CalledProcessError: it has nothing there.
        """
        done = self.kubectl("get", "--raw", path)
        done.check_returncode()
        return json.loads(done.stdout)

    def create(self, path: str, document: object, *, dry: bool = False) -> subprocess.CompletedProcess[str]:
        """Make an object; the server judges every field.

        :param dry: judge it only.
        """
        query = "fieldValidation=Strict&dryRun=All" if dry else "fieldValidation=Strict"
        return self.kubectl("create", "--raw", f"{path}?{query}", "-f", "-", text=json.dumps(document))

    def define(self, definition: dict[str, Any]) -> None:
        """Make a CustomResourceDefinition, and wait until its kind is served.

        :raise RuntimeError: it is not.
        """
        made = self.create(CRDS, definition)
        end = time.monotonic() + _SECONDS
        while made.returncode == 0 and time.monotonic() < end:
            status = self.read(f"{CRDS}/{definition['metadata']['name']}").get("status", {})
            found = {entry["type"]: entry["status"] for entry in status.get("conditions", ())}
            if found.get("Established") == "True":
                return
            time.sleep(0.2)
        raise RuntimeError(f"{definition['metadata']['name']} is not established: {made.stderr}")

    def kubectl(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl as an administrator of this server, which has no list of API groups: ``--raw`` only.

        :param text: its standard input.
        """
        command = [*self._programs.kubectl, "--kubeconfig", str(self._directory / "config"), *arguments]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=_SECONDS
        )

    def _start(self, stack: ExitStack, name: str, command: Sequence[str]) -> None:
        log = stack.enter_context((self._directory / f"{name}.log").open("wb"))
        process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        stack.callback(process.terminate)

    def _certify(self) -> None:
        """An authority, and a certificate of an administrator that it has signed."""
        key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
        self._openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=cluster")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key")
        self._openssl("req", "-x509", *key, "-keyout", "me.key", "-out", "me.crt", "-subj", _SUBJECT, *signed)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._directory, check=True, capture_output=True)

    def _write_config(self) -> None:
        """What kubectl reads, and the server, which wants to know a server to ask about users."""
        where = self._directory
        cluster = {"server": f"https://127.0.0.1:{self._port}", "insecure-skip-tls-verify": True}
        user = {"client-certificate": str(where / "me.crt"), "client-key": str(where / "me.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }
        (where / "config").write_text(json.dumps(config))

    def _options(self, etcd_port: int) -> list[str]:
        config = str(self._directory / "config")
        return [
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._directory / 'certificates'}",
            f"--client-ca-file={self._directory / 'ca.crt'}",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--authentication-skip-lookup",
            "--enable-priority-and-fairness=false",
            f"--disable-admission-plugins={','.join(_WITHOUT)}",
        ]

    def _wait(self) -> None:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            # Not /readyz, which waits for Services: those are the core API's.
            if self.kubectl("get", "--raw", CRDS).returncode == 0:
                return
            time.sleep(0.2)
        tail = (self._directory / "server.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the API server is not ready after {_SECONDS} s: {tail}")


def _etcd_options(directory: Path, client: int, peer: int) -> list[str]:
    ours, others = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={ours}",
        f"--advertise-client-urls={ours}",
        f"--listen-peer-urls={others}",
        f"--initial-advertise-peer-urls={others}",
        f"--initial-cluster=default={others}",
        "--unsafe-no-fsync",
    ]


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(entry.getsockname()[1]) for entry in sockets]
