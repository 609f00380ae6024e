# SPDX-License-Identifier: Apache-2.0
"""Feature files as NFD reads them, by its own rules; and that facts survive the journey."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import examples
from vsmmu.cli.main import run
from vsmmu.errors import InputRefused
from vsmmu.fleet.classes import class_of
from vsmmu.fleet.records import RecordReader
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.files import decode_host
from vsmmu.kubevirt.nfd import MAX_FILE_BYTES, PREFIX, feature_file, labels_of, node_feature
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

PACKAGING = Path(__file__).parents[3] / "packaging" / "nfd"
LABEL_KEY = re.compile(r"[a-z0-9.-]{1,253}/[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def as_nfd_reads(data: bytes) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Features, labels and directives of a feature file, as parseFeatureFile() in source/local/local.go."""
    features: dict[str, str] = {}
    labels: dict[str, str] = {}
    directives, no_label, no_feature = [], False, False
    for raw in data.split(b"\n"):
        text = raw.decode().strip()
        if text.startswith("# +"):
            directives.append(text.removeprefix("# +"))
            no_label |= text == "# +no-label"
            no_feature |= text == "# +no-feature"
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not no_feature:
            features[key] = value if equals else "true"
        if not no_label:
            labels[key] = value if equals else "true"
        no_label = no_feature = False
    return features, labels, directives


@pytest.mark.parametrize("name", builtin_names())
def test_a_feature_file_is_what_nfd_takes(name: str) -> None:
    host = builtin_host(name)
    data = feature_file(host, labels_of(host, LATEST), "2026-11-23T00:00:00Z")
    features, labels, directives = as_nfd_reads(data)
    assert len(data) <= MAX_FILE_BYTES
    assert directives == ["expiry-time=2026-11-23T00:00:00Z", "no-label"]
    assert all(LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value) for key, value in labels.items())
    assert all(key.startswith(PREFIX) for key in labels)
    assert set(features) - set(labels) == {"vsmmu.host"}
    assert decode_host(features["vsmmu.host"].encode(), "x") == host


@pytest.mark.parametrize("name", builtin_names())
def test_facts_come_back_from_the_cluster_with_their_labels(name: str) -> None:
    host = builtin_host(name)
    labels = labels_of(host, LATEST)
    record = (reader := RecordReader()).read(json.dumps(node_feature(host, labels, "worker-1")).encode(), "x")
    assert record.host == host
    assert record.name == "worker-1"
    assert reader.classes[record.kind].fingerprint == labels[f"{PREFIX}class"] == class_of(host).fingerprint
    assert labels.items() <= dict(record.labels).items()


def test_labels_say_what_is_known() -> None:
    labels = {
        key.removeprefix(PREFIX): value for key, value in labels_of(builtin_host("gb200"), LATEST).items()
    }
    assert labels == {
        "class": class_of(builtin_host("gb200")).fingerprint, "smmus": "4", "accel": "starts",
        "ats": "on", "ril": "off", "ssidsize": "20", "oas": "48",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gb10", "rk3588", "qemu-virt"])
def test_a_host_on_which_nothing_starts_has_no_values_to_select_by(name: str) -> None:
    labels = labels_of(builtin_host(name), LATEST)
    assert {key.removeprefix(PREFIX) for key in labels} == {"class", "smmus", "accel"}
    assert labels[f"{PREFIX}accel"] == "refused"


def large(functions: int, text: str) -> Host:
    entries = [
        examples.function(f"0000:{number >> 5:02x}:{number & 31:02x}.0") for number in range(functions)
    ]
    named = [msgspec.structs.replace(entry, label=text) for entry in entries]
    outside = [msgspec.structs.replace(entry, smmu=None, address=f"1{entry.address}") for entry in named]
    return examples.host(examples.smmu(), *named, *outside)


@pytest.mark.parametrize(("functions", "kept"), [(10, 20), (200, 200), (3000, 0)])
def test_of_facts_that_are_too_large_the_least_needed_goes_first(functions: int, kept: int) -> None:
    host = large(functions, "x" * 40)
    features, _, _ = as_nfd_reads(feature_file(host, labels_of(host, LATEST)))
    assert len(decode_host(features["vsmmu.host"].encode(), "x").functions) == kept
    assert node_feature(host, {}, "n")["kind"] == "NodeFeature"


def test_facts_that_cannot_be_made_small_enough_are_refused() -> None:
    host = examples.host(*(examples.smmu(f"smmu{number}") for number in range(500)))
    for make in (lambda: feature_file(host, {}), lambda: node_feature(host, {}, "n")):
        with pytest.raises(InputRefused) as caught:
            make()
        assert caught.value.code == "facts-too-large"


@pytest.mark.parametrize("node", ["", "Upper", "a_b", "-a", "a\nb", "x" * 254])
def test_a_node_needs_the_name_of_a_node(node: str) -> None:
    with pytest.raises(InputRefused) as caught:
        node_feature(builtin_host("gh200"), {}, node)
    assert caught.value.code == "node-name"


def test_hostile_facts_stay_on_their_line() -> None:
    text = "a\\n# +no-label\u2028feature.node.kubernetes.io/evil=1 = \u0085"
    host = msgspec.structs.replace(builtin_host("gh200"), title=f"{text}\nfeature.node.kubernetes.io/evil=1")
    features, labels, _ = as_nfd_reads(feature_file(host, labels_of(host, LATEST)))
    assert not [key for key in {**features, **labels} if "evil" in key]


# --- the verb -----------------------------------------------------------------------------------------------


def test_the_file_is_written_whole_and_readable_for_all(tmp_path: Path) -> None:
    path = tmp_path / "vsmmu"
    path.write_text("old")
    assert run(["label", "--host", "builtin:gb200", "--write", str(path), "--expires", "1.5"]) == 0
    _, labels, directives = as_nfd_reads(path.read_bytes())
    assert labels[f"{PREFIX}oas"] == "48"
    assert re.fullmatch(r"expiry-time=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", directives[0])
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["vsmmu"]


def test_a_directory_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "--host", "builtin:gb200", "--write", str(tmp_path / "no" / "x")]) == 5
    assert "cannot write labels" in capsys.readouterr().err


def test_only_some_smmus_may_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "--host", "builtin:gh200", "--device", "10de:2941", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[f"{PREFIX}accel"] == "absent"


# --- what is packaged ---------------------------------------------------------------------------------------


def test_manifests_name_labels_that_exist_and_parse() -> None:
    yaml = pytest.importorskip("yaml")
    known = set(labels_of(builtin_host("gb200"), LATEST)) | {f"{PREFIX}fits-grace", f"{PREFIX}fits-least"}
    for path in sorted(PACKAGING.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"apiVersion", "kind"} <= set(document), path
        written = set(re.findall(rf"{re.escape(PREFIX)}[a-z-]+", path.read_text(encoding="utf-8")))
        assert written <= known, path
    kustomization = yaml.safe_load((PACKAGING / "kustomization.yaml").read_text(encoding="utf-8"))
    assert all((PACKAGING / name).is_file() for name in kustomization["resources"])


def rule_matches(rule: dict[str, Any], name: str) -> bool:
    """As NFD's engine evaluates it: over the features of a NodeFeature, whose labels it does not look at."""
    host = builtin_host(name)
    features = node_feature(host, labels_of(host, LATEST), "n")["spec"]["features"]["attributes"]
    (feature,) = rule["matchFeatures"]
    elements = features[feature["feature"]]["elements"]
    for key, expression in feature["matchExpressions"].items():
        value = elements.get(key)
        wanted = expression["value"]
        operators = {
            "In": lambda value=value, wanted=wanted: value in wanted,
            "Gt": lambda value=value, wanted=wanted: int(value) > int(wanted[0]),
        }
        if value is None or not operators[expression["op"]]():
            return False
    return True


def test_the_rules_select_the_hosts_that_they_promise() -> None:
    yaml = pytest.importorskip("yaml")
    rules = yaml.safe_load((PACKAGING / "nodefeaturerule.yaml").read_text(encoding="utf-8"))["spec"]["rules"]
    found = {
        next(iter(rule["labels"])).removeprefix(PREFIX): {
            name for name in builtin_names() if rule_matches(rule, name)
        }
        for rule in rules
    }
    assert found["fits-grace"] == {"gb200", "gb300", "gh200", "gh200-no-cmdqv"}
    assert found["fits-least"] == {
        "altra", "fvp-rd-mmu720ae", "gb200", "gb300", "gh200", "gh200-no-cmdqv", "kunpeng920",
        "thunderx2",
    }  # fmt: skip
