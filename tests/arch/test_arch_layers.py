# SPDX-License-Identifier: Apache-2.0
"""Who may import whom, and who may touch the world; the layers themselves are import-linter's contracts."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import grimp
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Module

#: Packages that compute: nothing in them opens files, reads clocks, starts programs or prints.
PURE = ("smmuv3", "picture", "machine", "qemu", "libvirt", "policy", "plan", "mend", "fleet")
#: The modules of these packages that exist to touch the world, each for one thing.
IMPURE = {
    "vsmmu.qemu.device_tables": "loads the tables of names, which are package data",
}
FORBIDDEN_MODULES = set(
    "asyncio ctypes datetime fcntl glob io locale mmap os pathlib platform random select shutil signal "
    "socket subprocess sys tempfile threading time uuid".split()
)
#: What an emulated host may share with the code that asks a real one: the format, not the asking.
EMULATE_MAY_IMPORT = (
    "vsmmu.diagnostic",
    "vsmmu.document",
    "vsmmu.errors",
    "vsmmu.file_access",
    "vsmmu.named_tuple",
    "vsmmu.pci",
    "vsmmu.shipped",
    "vsmmu.smmuv3",
    "vsmmu.host.driver_line",
    "vsmmu.host.evidence",
    "vsmmu.host.numa_nodes",
    "vsmmu.host.text_forms",
    "vsmmu.host.facts",
    "vsmmu.host.whole_file",
    "vsmmu.host.files",
    "vsmmu.host.judgements",
    "vsmmu.uapi",
)
FORBIDDEN_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval"}


def _impurities(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
        ):
            yield f"{module.place(node)} calls {node.func.id}()"
            continue
        else:
            continue
        for name in names:
            if name.partition(".")[0] in FORBIDDEN_MODULES:
                yield f"{module.place(node)} imports {name}"


@pytest.mark.parametrize("package", PURE)
def test_pure_package_touches_nothing(package: str, modules: tuple[Module, ...]) -> None:
    mine = [module for module in modules if module.name.startswith(f"vsmmu.{package}")]
    if not mine:
        pytest.skip(f"there is no vsmmu.{package} yet")
    found = [text for module in mine if module.name not in IMPURE for text in _impurities(module)]
    assert found == []


def test_every_exception_to_purity_is_one(modules: tuple[Module, ...]) -> None:
    by_name = {module.name: module for module in modules}
    assert [name for name in IMPURE if name not in by_name or not list(_impurities(by_name[name]))] == []


def _is_sys(node: ast.AST, *names: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
        and node.attr in names
    )


def test_library_never_prints_or_exits(modules: tuple[Module, ...]) -> None:
    # T20 of ruff holds print; this holds sys.exit and sys.stdout (flushed before a fork it may be). The agent
    # and the guest are programs inside the lab.
    programs = ("vsmmu.cli", "vsmmu.lab.agent", "vsmmu.lab.guest", "vsmmu.__main__")
    found = []
    for module in modules:
        if module.name.startswith(programs):
            continue
        nodes = list(ast.walk(module.tree))
        flushed = {
            id(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr == "flush"
        }
        found += [
            module.place(node)
            for node in nodes
            if _is_sys(node, "exit", "stdout") and id(node) not in flushed
        ]
    assert found == []


def test_only_the_console_prints(modules: tuple[Module, ...]) -> None:
    """One filter and one place that knows colours: no verb goes round it (``lab`` hands bytes through)."""
    mine = [m for m in modules if m.name.startswith("vsmmu.cli.") and m.name != "vsmmu.cli.console"]
    calls = {"click.echo", "click.style", "click.secho", "sys.stdout.write", "sys.stderr.write", "print"}
    found = [
        module.place(node)
        for module in mine
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in calls
    ]
    assert found == []


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("vsmmu", cache_dir=None)


def test_no_import_cycle(graph: grimp.ImportGraph) -> None:
    """No two modules can reach each other, not even in annotations."""
    cycles = {
        tuple(sorted((module, target)))
        for module in graph.modules
        for target in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(importer=target, imported=module)
    }
    assert sorted(cycles) == []


def test_emulated_host_shares_only_the_format(graph: grimp.ImportGraph) -> None:
    if "vsmmu.emulate" not in graph.modules:
        pytest.skip("there is no vsmmu.emulate yet")
    reached = graph.find_upstream_modules("vsmmu.emulate", as_package=True)
    assert [name for name in sorted(reached) if not name.startswith(EMULATE_MAY_IMPORT)] == []
