# SPDX-License-Identifier: Apache-2.0
"""A cluster's node on this machine: containers of the shipped manifests, on an emulated host, without a
kubelet.

A container's command, variables, user and mounts come from its manifest. It runs in namespaces of its own, in
a root directory that is this machine's, with the image's programs in /usr/bin and the pod's volumes mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from hook_client import HookClient

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PACKAGING", "QEMU", "Node"]

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
#: Containerfile: the image's user, as which KubeVirt runs all containers of a VM's pod.
QEMU = 107
_NAMESPACE = "unshare --mount --pid --fork --mount-proc --kill-child --propagation private".split()
#: $1 an empty directory; programs of the image; --; the command. $VOLUMES: pairs DIRECTORY:PLACE.
_ENTER = """set -e
top=$1; shift
mount -t tmpfs tmpfs "$top"
mkdir -p "$top/image/usr/bin" "$top/root"
while [ "$1" != -- ]; do ln -s "$1" "$top/image/usr/bin/"; shift; done
shift
for pair in $VOLUMES; do mkdir -p "$top/image${pair#*:}"; done
mount -t overlay overlay -o "lowerdir=$top/image:/" "$top/root"
for entry in /*; do
    case $entry in /usr | /run) continue ;; esac
    [ -L "$entry" ] || [ ! -d "$entry" ] || mount --rbind "$entry" "$top/root$entry"
done
for pair in $VOLUMES; do mount --bind "${pair%%:*}" "$top/root${pair#*:}"; done
exec chroot "$top/root" "$@"
"""
#: Seconds; a probe of four SMMUs takes three on an idle machine.
_PATIENCE = 120
#: Containerfile: what the image has in /usr/bin.
_PROGRAMS = [str(Path(sys.executable).with_name(name)) for name in ("vsmmu", "onDefineDomain")]


class Container(NamedTuple):
    """What a manifest says of a container.

    :param mounts: place in the container -> name of what is mounted there.
    :param user: who it runs as.
    """

    command: list[str]
    fields: dict[str, str]
    mounts: dict[str, str]
    user: int


def pod_of(path: str) -> dict[str, Any]:
    """The pod of a DaemonSet below ``packaging``, or of a patch of one."""
    text = (PACKAGING / path).read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["spec"]["template"]["spec"])


def container_of(path: str, kind: str = "containers") -> Container:
    """The one container of a DaemonSet below ``packaging``; ``initContainers`` that of the patch."""
    pod = pod_of(path)
    (container,) = pod[kind]
    fields = {
        entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in container.get("env", ())
    }
    volumes = [*pod["volumes"], *pod_of("kubernetes/daemonset.yaml")["volumes"]]
    made = {
        entry["name"]: entry.get("persistentVolumeClaim", {}).get("claimName") or entry["hostPath"]["path"]
        for entry in volumes
    }
    mounts = {entry["mountPath"]: made[entry["name"]] for entry in container["volumeMounts"]}
    user = {**pod.get("securityContext", {}), **container.get("securityContext", {})}.get("runAsUser", QEMU)
    return Container(container["command"], fields, mounts, user)


def sidecar() -> tuple[Container, bytes]:
    """The hook of the shipped VM, and that VM on a node as KubeVirt hands it to the hook."""
    vmi = yaml.safe_load((PACKAGING / "kubernetes" / "vmi.yaml").read_text(encoding="utf-8"))
    (hook,) = json.loads(vmi["metadata"]["annotations"]["hooks.kubevirt.io/hookSidecars"])
    mounts = {hook["pvc"]["volumePath"]: hook["pvc"]["name"], "/run/kubevirt-hooks": "hooks"}
    placed = json.dumps({**vmi, "status": {"nodeName": Node.name}}).encode()
    return Container([*hook["command"], *hook["args"]], {}, mounts, QEMU), placed


class Node:
    """An emulated host with what its containers mount: claims and the node's own folders."""

    name = "node-1"

    def __init__(self, directory: Path, host: str) -> None:
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("containers are started as root, with unshare")
            pytest.skip("containers are started as root, with unshare")
        self._directory = directory
        self._emulated = ["vsmmu", "emulate", "-q", "--host", host, "--"]

    def volume(self, mounted: str) -> Path:
        """The directory of a claim, or of a folder of the node."""
        path = self._directory / mounted.strip("/").replace("/", "-")
        if not path.exists():
            path.mkdir()
            if "/" not in mounted:  # a claim, whose group is the pod's (fsGroup), or KubeVirt's own folder
                os.chown(path, -1, QEMU)
                path.chmod(0o2775)
        return path

    def start(
        self, container: Container, *, emulated: bool = False, answers: bool = False
    ) -> subprocess.Popen[bytes]:
        """Run a container until it ends or is killed; what it says goes to :meth:`log`, but answers."""
        top = self._directory / f"top-{time.monotonic_ns()}"
        top.mkdir()
        # /dev is this machine's, which an emulated host answers for.
        pairs = [f"{self.volume(name)}:{place}" for place, name in container.mounts.items() if name != "/dev"]
        known = {"spec.nodeName": self.name}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VSMMU_")}
        environment |= {key: known[field] for key, field in container.fields.items()}
        # Where it is anyway; vsmmu emulate would else keep it apart from the machine's own.
        environment |= {
            "VOLUMES": " ".join(pairs),
            "VSMMU_RUN_DIR": "/run/vsmmu",
            "OWNER": str(container.user),
        }
        user = [f"--re{kind}id={container.user}" for kind in "ug"]
        own = ["setpriv", *user, f"--groups={container.user}", *container.command]
        command = [*(self._emulated if emulated else ()), *own]
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*_NAMESPACE, "sh", "-c", _ENTER, "enter", str(top), *_PROGRAMS, "--", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if answers else log,
                stderr=log,
            )

    def log(self) -> str:
        return (self._directory / "log").read_text(encoding="utf-8")

    def run_until_made(self, manifest: str, made: Sequence[Path]) -> None:
        """Run the container of a DaemonSet until it has made files, and end it while it sleeps."""
        process = self.start(container_of(manifest), emulated=True)
        until = time.monotonic() + _PATIENCE
        try:
            while not all(path.exists() for path in made):
                assert process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                time.sleep(0.1)
        finally:
            _end(process)

    def probe(self) -> Path:
        """The facts that the probe of ``packaging/probing`` and ``packaging/kubernetes`` leave for hooks."""
        first = self.start(container_of("probing/privileged/probe.yaml", "initContainers"), emulated=True)
        assert first.wait(_PATIENCE) == 0, self.log()
        claim = self.volume("vsmmu-facts")
        made = [claim / f"{self.name}.json", claim / f"{self.name}.capabilities.json"]
        self.run_until_made("kubernetes/daemonset.yaml", made)
        return made[0]

    def ask_program(self, domain: bytes) -> bytes:
        """What the hook program of the shipped VM's sidecar makes of a domain."""
        container, vmi = sidecar()
        # sidecar-shim calls the program with what it got, in the variables of its own start.
        words = container.command[: container.command.index("/usr/bin/vsmmu")]
        words += ["/usr/bin/onDefineDomain", "--vmi", vmi.decode(), "--domain", domain.decode()]
        answer, _ = self.start(container._replace(command=words), answers=True).communicate(timeout=_PATIENCE)
        return answer

    def ask_server(self, domain: bytes) -> bytes:
        """The same of the server that the sidecar is."""
        container, vmi = sidecar()
        process = self.start(container)
        try:
            client = HookClient(self.volume("hooks") / "vsmmu.sock")
            answer = client.define("v1alpha3", domain, vmi)
            client.channel.close()
        finally:
            _end(process)
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill all of a container: its first process, too, of which --kill-child knows no more once it has
    changed its user (prctl(2), PR_SET_PDEATHSIG)."""
    if process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    process.kill()
    process.wait()
