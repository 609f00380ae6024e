# SPDX-License-Identifier: Apache-2.0
"""The node's road by the shipped manifests: a probe, facts and labels on a node, the VM's hook answers.

Commands, variables and mounts are those of packaging/. The host is emulated; all programs are real.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from domains import golden

pytest.importorskip("grpc", reason="the extra vsmmu[kubevirt] is not installed")

from node import PACKAGING, QEMU, Node
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import load_host

if TYPE_CHECKING:
    from pathlib import Path

HOST = "builtin:gb200"
pytestmark = pytest.mark.xdist_group("node")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A node on which the probe has run."""
    found = Node(tmp_path_factory.mktemp("node"), HOST)
    found.probe()
    return found


@pytest.fixture(scope="module")
def facts(node: Node) -> Path:
    return node.volume("vsmmu-facts") / f"{node.name}.json"


def vsmmu(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vsmmu", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_probe_measures_what_the_host_has(node: Node, facts: Path) -> None:
    measured, stated = load_host(str(facts)), builtin_host("gb200")
    assert [smmu.name for smmu in measured.smmus] == [smmu.name for smmu in stated.smmus]
    for smmu in measured.smmus:
        for key in ("IDR0.ATS", "IDR1.SSIDSIZE", "IDR3.RIL", "IDR5.OAS"):
            reading = measured.read_field(smmu, key)
            assert reading.evidence.kind == "measured"
            assert reading.interval == stated.read_field(stated.smmus[0], key).interval
    capabilities = json.loads(facts.with_suffix(".capabilities.json").read_text(encoding="utf-8"))
    assert capabilities["schema"] == "vsmmu.pci-capabilities/1"
    assert list(node.volume("vsmmu-facts").glob(".*")) == [], "nothing half written is left"


def test_who_is_qemu_in_a_vms_pod_reads_what_a_node_wrote(node: Node, facts: Path) -> None:
    """The probe wrote as root, the DaemonSet as 107; the sidecar, which is 107 as all of its pod, reads."""
    probed = node.volume("/run/vsmmu") / "host.json"
    assert (probed.stat().st_uid, stat.S_IMODE(probed.stat().st_mode)) == (0, 0o644)
    for file in (facts, facts.with_suffix(".capabilities.json")):
        assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (QEMU, 0o644)
    assert node.ask_program(golden("kubevirt")), node.log()
    assert node.ask_server(golden("kubevirt")), node.log()
    socket = (node.volume("hooks") / "vsmmu.sock").stat()
    assert socket.st_uid == QEMU, "virt-launcher, of the same user, may connect"
    assert socket.st_mode & stat.S_IWUSR


def test_the_labels_are_those_that_the_shipped_rule_looks_for(node: Node) -> None:
    """NFD's worker reads the file; its rule engine compares as this does (nfd.k8s-sigs.io/v1alpha1)."""
    folder = node.volume("/etc/kubernetes/node-feature-discovery/features.d")
    node.run_until_made("nfd/daemonset.yaml", [folder / "vsmmu"])
    lines = [line for line in (folder / "vsmmu").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    labels = dict(line.split("=", 1) for line in lines)
    rule = yaml.safe_load((PACKAGING / "nfd/nodefeaturerule.yaml").read_text(encoding="utf-8"))
    for entry in rule["spec"]["rules"]:
        (terms,) = (feature["matchExpressions"] for feature in entry["matchFeatures"])
        assert [name for name, term in terms.items() if not is_met(labels.get(name), term)] == []


def is_met(value: str | None, term: dict[str, Any]) -> bool:
    if value is None:
        return False
    return value in term["value"] if term["op"] == "In" else int(value) > int(term["value"][0])


def test_the_same_labels_are_an_object(facts: Path) -> None:
    found = yaml.safe_load(vsmmu("label", "--host", str(facts), "-o", "nodefeature"))
    assert found["kind"] == "NodeFeature"
    labels = found["spec"]["labels"]
    assert labels["feature.node.kubernetes.io/vsmmu.oas"] == "48"
    assert found["spec"]["features"]["attributes"]["local.label"]["elements"] == labels


def test_program_and_server_answer_the_same_and_qemu_would_start_it(
    node: Node, facts: Path, tmp_path: Path
) -> None:
    guess = b' ats="on" ril="off" ssidSize="20" oas="48"'
    before = golden("kubevirt").replace(guess, b"")
    answer = node.ask_program(before)
    # The emulated functions have no ATS capability, and the probe has seen that.
    assert answer == golden("kubevirt").replace(guess, b' ats="off" ril="off" ssidsize="20" oas="48"'), (
        node.log()
    )
    assert node.ask_server(before) == answer, node.log()
    vm = tmp_path / "vm.xml"
    vm.write_bytes(answer)
    verdict = json.loads(vsmmu("check", "--host", str(facts), "-o", "json", str(vm)))
    assert verdict["answer"] == "starts"


def test_a_hook_on_a_node_that_nobody_probed_says_who_brings_the_facts(tmp_path: Path) -> None:
    node = Node(tmp_path, HOST)
    assert node.ask_program(golden("kubevirt")) == b""
    assert "the DaemonSet vsmmu-facts writes it to the volume claim vsmmu-facts" in node.log()
