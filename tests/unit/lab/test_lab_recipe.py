# SPDX-License-Identifier: Apache-2.0
"""Recipes and their names."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from vsmmu.errors import HostLacks
from vsmmu.lab.kernel import lost_options
from vsmmu.lab.recipe import (
    KernelRecipe,
    TreeRecipe,
    fragment_options,
    guest_recipe,
    kernel_recipe,
    tools_recipe,
)


def test_a_name_is_kind_and_hash() -> None:
    assert re.fullmatch(r"guest-[0-9a-f]{16}", guest_recipe().name)
    assert re.fullmatch(r"kernel-[0-9a-f]{16}", kernel_recipe().name)
    assert tools_recipe("amd64", with_qemu=True).name == tools_recipe("amd64", with_qemu=True).name


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "riscv64"},
        {"packages": ("python3",)},
        {"prune": ()},
        {"files": (("init", "#!/bin/sh\n"),)},
        {"suite": "forky"},
        {"backports": "forky-backports"},
    ],
)
def test_every_part_of_a_tree_recipe_counts(change: dict[str, object]) -> None:
    recipe = TreeRecipe("guest", "arm64", ("python3", "strace"))
    assert replace(recipe, **change).name != recipe.name  # type: ignore[arg-type]


def test_the_kernel_s_name_follows_its_options_and_not_the_comments() -> None:
    recipe = KernelRecipe("CONFIG_A=y\n# CONFIG_B is not set\n")
    assert KernelRecipe("# why\nCONFIG_A=y\n\nCONFIG_B=n\n").name == recipe.name
    assert KernelRecipe("CONFIG_A=m\n# CONFIG_B is not set\n").name != recipe.name
    assert replace(recipe, series="7.4").name != recipe.name


@pytest.mark.parametrize(
    ("packages", "chosen"),
    [
        (["linux-source", "linux-source-6.12", "linux-source-7.3"], "linux-source-7.3"),
        (["linux-source-7.4", "linux-source-7.3"], "linux-source-7.3"),
        (
            ["linux-source-7.4", "linux-source-7.10", "linux-source-7.9", "linux-source-6.12"],
            "linux-source-7.10",
        ),
        (["linux-source-8.0-extra", "linux-source-7.4", "linux-source-rt"], "linux-source-7.4"),
    ],
)
def test_the_sources_are_the_known_ones_or_the_newest(packages: list[str], chosen: str) -> None:
    assert KernelRecipe("", series="7.3").choose_source(packages) == chosen


@pytest.mark.parametrize("packages", [[], ["linux-source"], ["linux-source-7.2", "linux-source-6.12"]])
def test_older_sources_will_not_do(packages: list[str]) -> None:
    with pytest.raises(HostLacks, match=r"no linux-source-7\.3 and none that is newer") as caught:
        KernelRecipe("", series="7.3").choose_source(packages)
    assert caught.value.code == "lab-kernel-source"
    assert all(name in caught.value.why for name in packages if name != "linux-source")


def test_fragment_options_reads_both_spellings_of_no() -> None:
    text = '# a comment is not set apart\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x=y"\nCONFIG_D=n\n'
    assert fragment_options(text) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": '"x=y"', "CONFIG_D": "n"}


def test_lost_options_names_what_the_kernel_did_not_take() -> None:
    have = "CONFIG_A=y\n# CONFIG_B is not set\n"
    assert lost_options("CONFIG_A=y\nCONFIG_D=n\n", have) == []
    assert lost_options("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n", have) == ["CONFIG_B=y", "CONFIG_C=y"]


@pytest.mark.parametrize(
    "option",
    ["ARM_SMMU_V3_IOMMUFD", "IOMMUFD", "VFIO_DEVICE_CDEV", "KVM", "ACPI_TABLE_UPGRADE", "VIRTIO_CONSOLE"],
)
def test_the_kernel_has_what_the_lab_is_for(option: str) -> None:
    assert fragment_options(kernel_recipe().fragment)[f"CONFIG_{option}"] == "y"


def test_the_guest_has_every_runtime_dependency() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    wanted = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9._-]+", requirement).group().lower()  # type: ignore[union-attr]
        assert f"python3-{name}" in guest_recipe().packages, requirement


def test_the_tree_command_names_everything() -> None:
    command = TreeRecipe("t", "arm64", ("a", "b")).command("/tree", "/sources.list")
    assert command[0] == "mmdebstrap"
    assert command[-3:] == ["trixie", "/tree", "/sources.list"]
    assert {"--variant=extract", "--architectures=arm64", "--include=a,b"} < set(command)


def test_sources_have_the_suite_and_its_backports() -> None:
    assert TreeRecipe("t", "arm64", ()).sources("http://m") == (
        "deb http://m trixie main\ndeb http://m trixie-backports main\n"
    )


def test_the_kernel_build_is_the_same_anywhere() -> None:
    command = kernel_recipe().make("/source", "/output", "Image")
    assert command[-1] == "Image"
    assert {"ARCH=arm64", "O=/output", "KBUILD_BUILD_HOST=lab", "KBUILD_BUILD_USER=vsmmu"} < set(command)
