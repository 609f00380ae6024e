# SPDX-License-Identifier: Apache-2.0
"""Manifests and NodeFeatures in a real API server: accepted strictly, wrong ones refused, read back."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from vsmmu.fleet.classes import class_of
from vsmmu.host.builtin import builtin_host, builtin_names

if TYPE_CHECKING:
    from cluster.server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]
PACKAGING = Path(__file__).parents[2] / "packaging"
OVERLAYS = ("kubernetes", "nfd", "probing/kubernetes", "probing/nfd")
NFD = "/apis/nfd.k8s-sigs.io/v1alpha1"
FEATURES = f"{NFD}/namespaces/node-feature-discovery/nodefeatures"
RULES = f"{NFD}/nodefeaturerules"
#: ``make test-cluster`` puts it there.
VALIDATE = Path(__file__).parents[2] / "build" / "cluster" / "bin" / "kubernetes-validate"


def vsmmu(*arguments: str, text: str = "") -> str:
    command = [sys.executable, "-m", "vsmmu", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def feature(host: str, node: str = "") -> dict[str, Any]:
    made = vsmmu("label", "--host", f"builtin:{host}", "--node", node or f"node-{host}", "-o", "nodefeature")
    document: dict[str, Any] = json.loads(made)
    return document


def manifests(server: ApiServer, overlay: str) -> list[dict[str, Any]]:
    made = server.kubectl("kustomize", str(PACKAGING / overlay))
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def test_the_features_of_every_host_are_accepted_and_read_back(server: ApiServer) -> None:
    for name in builtin_names():
        done = server.create(FEATURES, feature(name))
        assert done.returncode == 0, done.stderr
    # As kubectl get nodefeatures -A -o json, which calls the list a List.
    found = {**server.read(f"{NFD}/nodefeatures"), "kind": "List", "apiVersion": "v1"}
    assert len(found["items"]) == len(builtin_names())
    listed = json.dumps(found)
    report = json.loads(vsmmu("report", "-o", "json", "-", text=listed))
    assert (report["hosts"], report["refused"]) == (len(builtin_names()), 0)
    kinds = {entry["name"]: entry["kind"] for entry in report["named"]}
    assert kinds == {f"node-{name}": class_of(builtin_host(name)).fingerprint for name in builtin_names()}
    direct = vsmmu("report", "-o", "json", *(f"builtin:{name}" for name in builtin_names()))
    assert report["answers"] == json.loads(direct)["answers"]


def test_the_rule_is_accepted(server: ApiServer) -> None:
    (rule,) = [entry for entry in manifests(server, "nfd") if entry["kind"] == "NodeFeatureRule"]
    done = server.create(RULES, rule)
    assert done.returncode == 0, done.stderr
    kept = server.read(f"{RULES}/vsmmu")
    assert kept["spec"] == rule["spec"]


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    """The server has looked at the object (400, 422), and did not just fail."""
    assert done.returncode != 0
    assert re.search(r"BadRequest|Invalid|is invalid|strict decoding error", done.stderr), done.stderr


def _without_features(document: dict[str, Any]) -> None:
    document["spec"]["featuers"] = document["spec"].pop("features")  # codespell:ignore featuers


def _number(document: dict[str, Any]) -> None:
    document["spec"]["features"]["attributes"]["vsmmu"]["elements"]["vsmmu.host"] = 1


def _list(document: dict[str, Any]) -> None:
    document["spec"]["labels"] = ["x"]


def _name(document: dict[str, Any]) -> None:
    document["metadata"]["name"] = "Node_1"


@pytest.mark.parametrize("spoil", [_without_features, _number, _list, _name])
def test_a_wrong_feature_is_refused(server: ApiServer, spoil: Any) -> None:
    document = feature("gb200", "other")
    assert server.create(FEATURES, document, dry=True).returncode == 0
    spoil(document)
    assert_refused(server.create(FEATURES, document, dry=True))


@pytest.mark.parametrize("field", ["op", "value", "matchFeatures"])
def test_a_wrong_rule_is_refused(server: ApiServer, field: str) -> None:
    (rule,) = [entry for entry in manifests(server, "nfd") if entry["kind"] == "NodeFeatureRule"]
    rule["metadata"]["name"] = "other"
    assert server.create(RULES, rule, dry=True).returncode == 0
    wrong = copy.deepcopy(rule)
    first = wrong["spec"]["rules"][0]
    expression = next(iter(first["matchFeatures"][0]["matchExpressions"].values()))
    if field == "op":
        expression["op"] = "IsIn"
    elif field == "value":
        expression["value"] = "on"
    else:
        first["matchFeature"] = first.pop("matchFeatures")
    assert_refused(server.create(RULES, wrong, dry=True))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_core_object_is_valid_by_its_schema(server: ApiServer, overlay: str, tmp_path: Path) -> None:
    """This server has no core API, so their schema judges: kubernetes-validate --strict."""
    if not VALIDATE.exists() and shutil.which("kubernetes-validate") is None:
        assert os.environ.get("CI") != "true"
        pytest.skip("no kubernetes-validate here")
    program = str(VALIDATE) if VALIDATE.exists() else "kubernetes-validate"
    core = [entry for entry in manifests(server, overlay) if "nfd.k8s-sigs.io" not in entry["apiVersion"]]
    assert "DaemonSet" in {entry["kind"] for entry in core}
    for number, document in enumerate(core):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(document))
        done = subprocess.run([program, "--strict", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        document["spec"]["nodeSelektor"] = {}
        file.write_text(yaml.safe_dump(document))
        wrong = subprocess.run([program, "--strict", file], capture_output=True, text=True, check=False)
        assert wrong.returncode != 0
