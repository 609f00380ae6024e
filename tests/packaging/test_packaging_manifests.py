# SPDX-License-Identifier: Apache-2.0
"""Manifests: the least privilege that their commands work with, tried inside such walls on a made-up node."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vsmmu.host.files import load_host

PACKAGING = Path(__file__).parents[2] / "packaging"
INSIDE = Path(__file__).with_name("in_container.py")
DAEMONS = ("kubernetes", "nfd")
#: Who asks a kernel, and the one place that says why nothing less will do.
PROBE = "probing/privileged/probe.yaml"
Container = dict[str, Any]
PROGRAMS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="walls are put up as root")


def pod_of(file: str) -> dict[str, Any]:
    (document,) = yaml.safe_load_all((PACKAGING / file).read_text(encoding="utf-8"))
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    return pod


def daemon(name: str) -> tuple[dict[str, Any], Container]:
    pod = pod_of(f"{name}/daemonset.yaml")
    (container,) = pod["containers"]
    return pod, container


@pytest.mark.parametrize("name", DAEMONS)
def test_what_runs_for_long_has_no_privilege(name: str) -> None:
    pod, container = daemon(name)
    assert container["securityContext"].items() >= {
        "privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }.items()  # fmt: skip
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert {"hostNetwork", "hostPID", "hostIPC"} & pod.keys() == set()
    mounts = {entry["name"]: entry for entry in container["volumeMounts"]}
    assert mounts["run"]["readOnly"] is True


def test_one_container_is_privileged_and_it_ends() -> None:
    privileged = [
        path.relative_to(PACKAGING).as_posix()
        for path in PACKAGING.rglob("*.yaml")
        if "privileged: true" in path.read_text(encoding="utf-8")
    ]
    assert privileged == [PROBE]
    pod = pod_of(PROBE)
    assert pod.keys() == {"initContainers", "volumes"}
    (probe,) = pod["initContainers"]
    assert "restartPolicy" not in probe  # it would stay
    assert probe["command"] == ["/bin/sh", "-c", "vsmmu probe || true"]


@pytest.mark.parametrize("name", DAEMONS)
def test_the_probe_is_added_and_nothing_else_changed(name: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl; make test-cluster has its own")

    def made(folder: str) -> dict[str, Any]:
        text = subprocess.run(
            ["kubectl", "kustomize", PACKAGING / folder], capture_output=True, text=True, check=True
        ).stdout
        found = [entry for entry in yaml.safe_load_all(text) if entry["kind"] == "DaemonSet"]
        pod: dict[str, Any] = found[0]["spec"]["template"]["spec"]
        return pod

    plain, probing = made(name), made(f"probing/{name}")
    (probe,) = probing.pop("initContainers")
    dev = [entry for entry in probing["volumes"] if entry["name"] == "dev"]
    probing["volumes"] = [entry for entry in probing["volumes"] if entry not in dev]
    assert probing == plain
    assert probe["image"] == plain["containers"][0]["image"] != "vsmmu"
    assert {entry["name"] for entry in probe["volumeMounts"]} == {"run", "dev"}
    assert dev


class Node:
    """An emulated GB200 that has probed itself at boot."""

    def __init__(self, folder: Path) -> None:
        self.volumes = {name: folder / name for name in ("run", "facts", "features")}
        for path in self.volumes.values():
            path.mkdir(mode=0o755)
        self.probed = True
        self.volumes["facts"].chmod(0o2775)

    def run(self, pod: dict[str, Any], container: Container, command: str = "") -> None:
        """Run the container's command, its loop once; it must succeed."""
        container = copy.deepcopy(container)
        os.chown(self.volumes["facts"], 0, pod["securityContext"].get("fsGroup", 0))  # as a kubelet does
        script = command or container["command"][2].replace("sleep", "exit 0; sleep")
        container["command"] = ["/bin/sh", "-e", "-c", script]
        words = json.dumps({
            "container": container, "security": pod["securityContext"],
            "volumes": {name: str(path) for name, path in self.volumes.items()},
            "env": {"NODE": "worker-7", "PATH": PROGRAMS, "PYTHONDONTWRITEBYTECODE": "1"},
        })  # fmt: skip
        boot = f"{sys.executable} -m vsmmu probe >/dev/null\n" if self.probed else ""
        done = subprocess.run(
            [sys.executable, "-m", "vsmmu", "emulate", "-q", "--host", "builtin:gb200", "--bind", "all", "--",
             "sh", "-e", "-c", f'{boot}exec "$@"', "sh", sys.executable, INSIDE, words],
            env=os.environ | {"VSMMU_RUN_DIR": str(self.volumes["run"])},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.fixture
def node(tmp_path: Path) -> Node:
    for parent in (tmp_path, *tmp_path.parents[:3]):  # pytest's folders are root's alone
        if parent != Path(parent.anchor):
            parent.chmod(parent.stat().st_mode | 0o011)
    return Node(tmp_path)


def fails(command: str) -> str:
    """A script that ends with 9 where the command does not fail."""
    return f"{{ {command}; }} >/dev/null 2>&1 && exit 9; true;"


def measured(path: Path) -> int:
    """How many of the SMMUs in a facts file have registers."""
    return sum(bool(smmu.registers) for smmu in load_host(str(path)).smmus)


@as_root
def test_facts_are_published_within_these_walls(node: Node) -> None:
    pod, container = daemon("kubernetes")
    node.run(pod, container)
    facts = node.volumes["facts"]
    assert measured(facts / "worker-7.json") == 4
    functions = json.loads((facts / "worker-7.capabilities.json").read_bytes())
    assert "0009:01:00.0" in json.dumps(functions)
    assert sorted(path.name for path in facts.iterdir()) == ["worker-7.capabilities.json", "worker-7.json"]
    assert (facts / "worker-7.json").stat().st_uid == 107


@as_root
def test_labels_are_handed_over_within_these_walls(node: Node) -> None:
    pod, container = daemon("nfd")
    node.run(pod, container)
    assert "vsmmu.accel=starts" in (node.volumes["features"] / "vsmmu").read_text(encoding="utf-8")


@as_root
def test_a_node_that_has_not_probed_says_so(node: Node) -> None:
    """Nothing is taken for asked, and what sysfs tells is there."""
    node.probed = False
    pod, container = daemon("kubernetes")
    node.run(pod, container)
    facts = node.volumes["facts"] / "worker-7.json"
    assert measured(facts) == 0
    assert len(load_host(str(facts)).functions) > 0


@as_root
@pytest.mark.parametrize("name", DAEMONS)
def test_nothing_can_be_taken_away(node: Node, name: str) -> None:
    """Each thing that the manifest gives is needed: without, there is no answer, or a lesser one."""
    pod, container = daemon(name)
    for missing in [entry["name"] for entry in container["volumeMounts"]]:
        less = copy.deepcopy(container)
        less["volumeMounts"] = [entry for entry in less["volumeMounts"] if entry["name"] != missing]
        if missing == "run":
            asked = "vsmmu show --host live -o json | grep '\"IDR5\"'"
            node.run(pod, container, asked)
            node.run(pod, less, fails(asked))
        else:
            path = next(entry["mountPath"] for entry in container["volumeMounts"] if entry["name"] == missing)
            node.run(pod, less, fails(f"touch {path}/new"))
    if name == "kubernetes":
        other = {**pod, "securityContext": {**pod["securityContext"]}}
        del other["securityContext"]["fsGroup"]
        node.run(other, container, fails("touch /facts/new"))
    else:
        other = copy.deepcopy(container)
        other["securityContext"]["runAsUser"] = 107
        node.run(pod, other, fails("touch /features.d/new"))


@as_root
@pytest.mark.parametrize("name", DAEMONS)
def test_the_walls_are_there(node: Node, name: str) -> None:
    pod, container = daemon(name)
    node.run(
        pod, container,
        "grep -Eq '^CapEff:.0+$' /proc/self/status; grep -Eq '^CapBnd:.0+$' /proc/self/status;"
        "grep -Eq '^NoNewPrivs:.1$' /proc/self/status;"
        + "".join(fails(f"touch {path}") for path in ("/new", "/etc/new", "/run/vsmmu/new"))
        + fails("echo 1 > /sys/kernel/uevent_seqnum; echo 1 > /sys/bus/pci/rescan")
        + fails("ls /sys/firmware/*") + fails("vsmmu probe"),
    )  # fmt: skip
