# SPDX-License-Identifier: Apache-2.0
"""vsmmu: fit an accelerated vSMMUv3 to the host that it runs on.

The names below are the public API; each is loaded when it is used::

    import vsmmu

    host = vsmmu.load_host("builtin:gb200")
    vm = vsmmu.read_vm(open("vm.sh", "rb").read())
    answer = vsmmu.resolve(vm, host)
    for value in answer["smmuv3.0"]:
        print(value.name, value.value, value.rule, value.why)
    print(vsmmu.check(answer.vm, host).answer)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vsmmu.api import check as check
    from vsmmu.api import fix as fix
    from vsmmu.api import load_host as load_host
    from vsmmu.api import load_qemu as load_qemu
    from vsmmu.api import read_vm as read_vm
    from vsmmu.api import resolve as resolve
    from vsmmu.diagnostic import Diagnostic as Diagnostic
    from vsmmu.diagnostic import Edit as Edit
    from vsmmu.errors import HostLacks as HostLacks
    from vsmmu.errors import InputRefused as InputRefused
    from vsmmu.errors import Negative as Negative
    from vsmmu.errors import PermissionRefused as PermissionRefused
    from vsmmu.errors import UsageError as UsageError
    from vsmmu.errors import VsmmuError as VsmmuError
    from vsmmu.host.evidence import Evidence as Evidence
    from vsmmu.host.facts import Host as Host
    from vsmmu.machine.vm import Vm as Vm
    from vsmmu.policy.result import PropertyResolution as PropertyResolution
    from vsmmu.policy.result import Resolution as Resolution
    from vsmmu.policy.result import VsmmuResolution as VsmmuResolution
    from vsmmu.qemu.outcome import Verdict as Verdict
    from vsmmu.qemu.versions import Qemu as Qemu

__version__ = "0.1.0"

_HOMES = {
    "api": "check fix load_host load_qemu read_vm resolve",
    "diagnostic": "Diagnostic Edit",
    "errors": "HostLacks InputRefused Negative PermissionRefused UsageError VsmmuError",
    "host.evidence": "Evidence",
    "host.facts": "Host",
    "machine.vm": "Vm",
    "qemu.outcome": "Verdict",
    "qemu.versions": "Qemu",
    "policy.result": "PropertyResolution Resolution VsmmuResolution",
}
_HOME = {name: f"vsmmu.{module}" for module, names in _HOMES.items() for name in names.split()}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vsmmu' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
