# SPDX-License-Identifier: Apache-2.0
"""The container image is built from the locks, and one place says which image the manifests use.

Where no images can be built, the Containerfile's first stage still can be run, in other directories.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from interpreters import ROOT, Interpreter, clean_environment, interpreters
from test_install_locks import pins

from vsmmu import __version__

if TYPE_CHECKING:
    from pathlib import Path

PACKAGING = ROOT / "packaging"
CONTAINERFILE = PACKAGING / "container" / "Containerfile"
#: What uses the component that says which image: the directories of whole manifests.
OVERLAYS = ("kubernetes", "nfd")


def run(
    command: list[str | Path], where: str | Path = "/", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=where,
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def _instructions() -> list[tuple[str, str]]:
    """The instructions of the first stage, a pair each."""
    stage = re.split(r"(?m)^FROM ", CONTAINERFILE.read_text(encoding="utf-8"))[1]
    lines = re.sub(r"\\\n|^#.*\n", "", stage, flags=re.MULTILINE).splitlines()[1:]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line]


def _interpreter() -> Interpreter:
    """The interpreter of the version that the image has."""
    match = re.search(r"python:([\d.]+)-slim", CONTAINERFILE.read_text(encoding="utf-8"))
    assert match
    found = [entry for entry in interpreters() if entry.minor == match[1]]
    if not found:
        pytest.skip(f"no Python {match[1]} here, which the image has")
    return found[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage makes: /opt/vsmmu, elsewhere."""
    interpreter = _interpreter()
    top = tmp_path_factory.mktemp("image")
    (top / "src").mkdir()
    places = {"/build": top / "build", "/opt/vsmmu": top / "opt"}
    environment = clean_environment()
    for name, value in _instructions():
        if name == "COPY":
            *sources, target = value.split()
            for source in sources:
                to = top / "src" / target / ("" if source.endswith("/") else source)
                copy = shutil.copytree if source.endswith("/") else shutil.copy
                copy(ROOT / source, to)
        elif name == "ENV":
            environment |= dict(word.split("=", 1) for word in value.split())
        elif name == "RUN":
            script = re.sub(r"(?<!\S)python(?= )", shlex.quote(str(interpreter.path)), value)
            script = re.sub(r"(?<![\w./])(/build|/opt/vsmmu)\b", lambda it: str(places[it[0]]), script)
            environment.pop("PIP_NO_CACHE_DIR", None)  # so that a second run of this test downloads nothing
            done = run(["sh", "-euc", script], top / "src", environment)
            if "Could not find a version" in done.stderr and "CI" not in os.environ:
                pytest.skip(f"the image's packages cannot be had: {done.stderr.strip()[-300:]}")
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        else:
            assert name == "WORKDIR"
    return top / "opt"


@pytest.mark.xdist_group("image")
def test_image_has_what_the_lock_says_and_byte_code(built: Path) -> None:
    code = (
        "import importlib.metadata, json\n"
        "found = importlib.metadata.distributions()\n"
        "print(json.dumps({it.name.lower().replace('_', '-'): it.version for it in found}))"
    )
    done = run([built / "bin/python", "-I", "-c", code])
    expected = {name: version for name, (_, version, _) in pins("image").items()}
    assert json.loads(done.stdout) == expected | {"vsmmu": __version__}
    sources = list(built.rglob("*.py"))
    bare = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert len(sources) > 300
    assert bare == []


@pytest.mark.xdist_group("image")
@pytest.mark.parametrize(
    "command", ["vsmmu show --host builtin:gb200", "vsmmu kubevirt serve --help", "onDefineDomain -h"]
)
def test_image_works(built: Path, command: str) -> None:
    program, *words = command.split()
    done = run([built / "bin" / program, *words])
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_pip_chooses_nothing_for_the_image() -> None:
    scripts = [part for name, value in _instructions() if name == "RUN" for part in value.split("&&")]
    installs = [part.split() for part in scripts if re.search(r"\bpip\b.* install\b", part)]
    assert len(installs) == 3
    for words in installs:
        assert "--no-deps" in words
        assert {"--require-hashes", "--no-index"} & set(words)


def _read(path: Path) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def test_one_place_says_which_image() -> None:
    (image,) = _read(PACKAGING / "image" / "kustomization.yaml")["images"]  # type: ignore[misc]
    assert image == {"name": "vsmmu", "newName": "vsmmu", "newTag": __version__}
    for overlay in OVERLAYS:
        kustomization = _read(PACKAGING / overlay / "kustomization.yaml")
        assert kustomization["components"] == ["../image"]
        assert "images" not in kustomization


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_makes_manifests_with_that_image(overlay: str) -> None:
    command = ["kubectl", "kustomize", str(PACKAGING / overlay)]
    made = yaml.safe_load_all(subprocess.run(command, capture_output=True, check=True).stdout)
    sets = [document for document in made if document["kind"] == "DaemonSet"]
    images = [
        container["image"] for one in sets for container in one["spec"]["template"]["spec"]["containers"]
    ]
    assert images == [f"vsmmu:{__version__}"]


def test_every_mention_of_the_image_names_that_version() -> None:
    places = (PACKAGING, ROOT / "docs" / "how-to")
    texts = [path for place in places for path in place.rglob("*") if path.is_file()]
    found = {
        (str(path.relative_to(ROOT)), tag)
        for path in texts
        for tag in re.findall(r"(?<![\w/.])(?:REGISTRY/)?vsmmu:([\w.]+)", path.read_text(encoding="utf-8"))
    }
    assert "packaging/kubernetes/vmi.yaml" in {path for path, _ in found}
    assert {tag for _, tag in found} == {__version__}
    for overlay in OVERLAYS:  # kustomize's name, without a version of their own
        text = (PACKAGING / overlay / "daemonset.yaml").read_text(encoding="utf-8")
        assert re.findall(r"image: *(\S+)", text) == ["vsmmu"]
