# SPDX-License-Identifier: Apache-2.0
"""The archive as it is today has sources for the lab's kernel, whatever it had when the recipe was made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vsmmu.lab.mirror import fetch_index, package_names
from vsmmu.lab.recipe import kernel_recipe
from vsmmu.lab.versions import version_of

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.lab.build import Artifacts


def test_the_archive_has_sources_for_the_kernel(lab_artifacts: Artifacts, tmp_path: Path) -> None:
    recipe, prefix = kernel_recipe(), "linux-source-"
    options = fetch_index(recipe.suites, lab_artifacts.tools.machine.architecture, tmp_path, tmp_path / "log")
    names = package_names(options, prefix)
    chosen = recipe.choose_source(names)
    assert chosen in names
    assert version_of(chosen.removeprefix(prefix)) >= version_of(recipe.series)
    # And once the series of a recipe is gone, as that of kernels before has.
    gone = replace(recipe, series="6.99").choose_source(names)
    assert version_of(gone.removeprefix(prefix)) == max(
        version_of(name.removeprefix(prefix)) for name in names
    )
