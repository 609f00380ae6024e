# SPDX-License-Identifier: Apache-2.0
"""The table of who makes which file is what packaging/ has, and errors that name such a file say so."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from domains import golden
from vsmmu.cli.main import run
from vsmmu.errors import HostLacks, error_of
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings
from vsmmu.shipped import HOOK_FACTS, MAKERS, maker

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = Path(__file__).parents[2] / "packaging"
#: systemd.exec(5): folders that a unit makes.
UNIT_FOLDERS = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache"}
MANIFESTS = sorted(
    path for part in ("kubernetes", "nfd", "probing") for path in (PACKAGING / part).rglob("*.yaml")
)


def unit_folders() -> Iterator[tuple[str, Path]]:
    for path in (PACKAGING / "systemd").iterdir():
        for name, value in re.findall(
            r"^(\w+Directory)=(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            yield f"{UNIT_FOLDERS[name]}/{value}", path
    for path in (PACKAGING / "tmpfiles.d").iterdir():
        for place in re.findall(r"^[dD] (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield place, path


def manifest_folders() -> Iterator[tuple[str, Path]]:
    """Folders that containers may write to: as they have them, and as the node does; and those of hooks."""
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for mount, volume in mounts(document):
                if not mount.get("readOnly") and mount["mountPath"] != "/dev":
                    yield mount["mountPath"], path
                    if "hostPath" in volume:
                        yield volume["hostPath"]["path"], path
            annotations = document["metadata"].get("annotations", {}) if "metadata" in document else {}
            for sidecar in json.loads(annotations.get("hooks.kubevirt.io/hookSidecars", "[]")):
                claim = sidecar.get("pvc", {})
                yield from ((claim[key], path) for key in ("volumePath", "sharedComputePath") if key in claim)


def mounts(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the containers of a DaemonSet mount, with the volume where the same document has it."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    volumes = {entry["name"]: entry for entry in pod.get("volumes", ())}
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        for mount in container.get("volumeMounts", ()):
            yield mount, volumes.get(mount["name"], {})


def test_the_table_has_what_units_and_manifests_make() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for place, path in (*unit_folders(), *manifest_folders()):
        found[place].add(str(path.relative_to(PACKAGING)))
    named: dict[str, set[str]] = defaultdict(set)
    for row in MAKERS:
        for folder in row.folders:
            named[folder] |= {
                source for source in row.sources if folder in (PACKAGING / source).read_text("utf-8")
            }
        assert set(row.sources) == {source for folder in row.folders for source in found[folder]}
    # A unit names its folder below /run, where it is not written out.
    named["/run/vsmmu"].add("systemd/vsmmu-probe.service")
    assert named == found


def test_every_maker_is_called_by_its_name() -> None:
    for row in MAKERS:
        for source in row.sources:
            path = PACKAGING / source
            if path.suffix == ".service":
                assert path.name in row.text
            for document in yaml.safe_load_all(path.read_text("utf-8")) if path.suffix == ".yaml" else ():
                pod = document["spec"].get("template", {}).get("spec", {})
                named = [entry["name"] for entry in pod.get("initContainers", ())]
                named += [] if named or document["kind"] != "DaemonSet" else [document["metadata"]["name"]]
                claims = [entry.get("persistentVolumeClaim", {}) for entry in pod.get("volumes", ())]
                named += [entry["claimName"] for entry in claims if entry]
                assert [name for name in named if name not in row.text] == []


def test_objects_that_a_text_tells_to_look_at_are_there() -> None:
    kinds = {"daemonset": "DaemonSet", "pvc": "PersistentVolumeClaim"}
    documents = [entry for path in MANIFESTS for entry in yaml.safe_load_all(path.read_text("utf-8"))]
    there = {(entry["kind"], entry.get("metadata", {}).get("name")) for entry in documents}
    for row in MAKERS:
        for folder in re.findall(r"-k (packaging/[a-z/]+)", row.text):
            assert (PACKAGING.parent / folder / "kustomization.yaml").exists()
        for kind, name in re.findall(r"\b(daemonset|pvc)/([a-z-]+)", row.text):
            assert (kinds[kind], name) in there


@pytest.mark.parametrize("tail", ["", "/x.json", ": smmus[0]"])
@pytest.mark.parametrize("row", MAKERS)
def test_an_error_that_names_such_a_file_says_who_makes_it(row: Any, tail: str) -> None:
    for folder in row.folders:
        assert HostLacks("a-code", "what", where=folder + tail, next="do this").next == f"do this; {row.text}"
        failed = FileNotFoundError(2, "No such file or directory", folder + tail)
        assert row.text in error_of(failed).next


@pytest.mark.parametrize("path", ["/runs", "/run/vsmmux", "/factsheet", "/run", "facts", "", "vm.sh"])
def test_other_files_have_no_maker(path: str) -> None:
    assert maker(path) == ""


@pytest.mark.parametrize("path", ["/run/vsmmu/none-here.json", "/facts/none-here.json"])
def test_a_verb_says_it_too(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "--host", path]) == 5
    assert maker(path) in capsys.readouterr().err


@pytest.mark.parametrize("facts", ["/facts/{node}.json", "/run/vsmmu/host.json", "/elsewhere/{node}.json"])
def test_a_hook_without_facts_names_the_claim_and_the_daemonset(facts: str, tmp_path: Path) -> None:
    assert not Path("/facts").exists(), "a machine of tests"
    vmi = json.dumps({"status": {"nodeName": "node-1"}}).encode()
    place = facts if facts.startswith("/facts") else f"{tmp_path}{facts}"
    with pytest.raises(HostLacks) as caught:
        mutate(golden("kubevirt"), vmi, HookSettings(facts=place))
    assert caught.value.code == "file-missing"
    assert HOOK_FACTS.text in caught.value.next
    if not facts.startswith("/facts"):
        assert "VSMMU_HOST name /facts/{node}.json" in caught.value.next
