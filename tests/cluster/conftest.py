# SPDX-License-Identifier: Apache-2.0
"""An API server with the CustomResourceDefinitions of Node Feature Discovery, for these tests.

It runs where ``make test-cluster`` asks for it. Where it cannot be had, tests skip; with CI=true they fail.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from cluster.build import build
from cluster.server import ApiServer
from quoted import MADE_OF
from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab.cache import Cache
from vsmmu.lab.errors import LabFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: As it comes with Node Feature Discovery (deployment/base/nfd-crds/nfd-api-crds.yaml), Apache-2.0.
CRDS = Path(__file__).with_name("nfd-crds.yaml")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A running server that knows NFD's kinds."""
    if not os.environ.get("VSMMU_CLUSTER"):
        pytest.skip("a cluster is built and started by make test-cluster")
    try:
        programs = build(Cache.default())
    except (HostLacks, PermissionRefused, LabFailed) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no API server here: {error}")
    with ApiServer(programs, tmp_path_factory.mktemp("cluster")) as running:
        for definition in yaml.safe_load_all(CRDS.read_text(encoding="utf-8")):
            running.define(definition)
        yield running


@pytest.fixture(autouse=True)
def _made_of(server: ApiServer, record_property: Callable[[str, object], None]) -> None:
    """Put the versions of the programs into the report of every test."""
    wanted = ("etcd-server", "golang-k8s-apiextensions-apiserver-dev", "kubectl")
    versions = (f"{name} {server.versions[name]}" for name in wanted)
    record_property(MADE_OF, f"cluster: {', '.join(versions)}")
