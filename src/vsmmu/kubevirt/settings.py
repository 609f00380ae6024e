# SPDX-License-Identifier: Apache-2.0
"""Settings of the hook: the administrator's environment, narrowed by a VM's annotations.

An annotation asks for work, as far as the administrator allows that annotation; it never weakens a check.
That nothing is checked at all (``vsmmu/hook: off``) takes an administrator who names that annotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from vsmmu.errors import UsageError
from vsmmu.kubevirt.concern import PREFIX
from vsmmu.named_tuple import NamedTuple
from vsmmu.versions import LATEST_LIBVIRT, LATEST_QEMU, spell_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.policy.options import Policy

__all__ = ["NODE", "HookSettings", "OnFailure", "Values", "from_environment", "unknown_variables"]

#: *fail*: the VM does not start. *pass-through*: it starts with the domain as KubeVirt made it.
OnFailure = Literal["fail", "pass-through"]
#: What an annotation asks for: nothing, ``accel='on'`` on SMMUs that are there, or SMMUs.
Accelerate = Literal["off", "on", "create"]
#: *resolve*: what is in the domain is KubeVirt's guess, and replaced. *keep*: it stays, and is checked.
Values = Literal["resolve", "keep"]
#: *certain*: what keeps the domain from starting is mended, where there is one way alone.
Fix = Literal["off", "certain"]

#: In a path of facts: the node that the VM is on.
NODE: Final = "{node}"
_DEFAULT_FACTS: Final = "/run/vsmmu/host.json"
_DEFAULT_SECONDS: Final = 20.0
_MAX_SECONDS: Final = 55.0  # KubeVirt gives a callback a minute
_SWITCH: Final = ("on", "off")
_POLICIES: Final = ("common", "qemu")
_ANNOTATIONS: Final = ("hook", "accel", "also", "assume-safe", "fix", "on-failure", "policy", "values")
#: Those that a VM may have where nobody says. ``hook: off`` lets a domain pass that nobody has checked.
_ALLOWED: Final = tuple(name for name in _ANNOTATIONS if name != "hook")
#: What the environment can say to the hook; the last is read where errors are shown.
_VARIABLES: Final = (
    "VSMMU_HOST",
    "VSMMU_FIX",
    "VSMMU_ON_FAILURE",
    "VSMMU_VALUES",
    "VSMMU_POLICY",
    "VSMMU_ASSUME_SAFE",
    "VSMMU_QEMU",
    "VSMMU_LIBVIRT",
    "VSMMU_MACHINE_TYPE",
    "VSMMU_ANNOTATIONS",
    "VSMMU_TIMEOUT",
    "VSMMU_DEBUG",
)
#: What says something to other verbs.
_OF_OTHERS: Final = ("VSMMU_RUN_DIR", "VSMMU_LAB_CACHE", "VSMMU_LAB_KERNEL", "VSMMU_LAB_MIRROR")


class HookSettings(NamedTuple):
    """Everything that can be said to the hook.

    :param facts: path of the facts about this node; ``{node}`` in it stands for the node's name.
    :param enabled: whether it does anything at all.
    :param accelerate: *on*: SMMUs with a host device behind become accelerated ones; *create*: host devices
        without one get one.
    :param also: host functions to come, such as one that a migration or hot-plug brings.
    :param fix: whether faults are mended first.
    :param qemu: version of the QEMU in virt-launcher.
    :param libvirt: version of the libvirt in virt-launcher.
    :param machine_type: upstream's name for a machine type of a distribution (``virt-rhel9.8.0``); or empty.
    :param annotations: those that a VM may have.
    :param seconds: after which it gives up.
    """

    facts: str = _DEFAULT_FACTS
    enabled: bool = True
    accelerate: Accelerate = "off"
    on_failure: OnFailure = "fail"
    values: Values = "resolve"
    policy: Policy = "common"
    also: tuple[str, ...] = ()
    fix: Fix = "off"
    assume_safe: bool = False
    qemu: str = spell_version(LATEST_QEMU)
    libvirt: str = spell_version(LATEST_LIBVIRT)
    machine_type: str = ""
    annotations: tuple[str, ...] = _ALLOWED
    seconds: float = _DEFAULT_SECONDS

    def annotated(self, annotations: Mapping[str, str]) -> HookSettings:
        """The same as a VM's annotations have it.

        :raise UsageError: ``annotation``: one of ours that is unknown, or a value that it does not take;
            ``annotation-denied``: the administrator does not allow it, or it would weaken a check.
        """
        changed = self
        for key in sorted(annotations):
            if key.startswith(PREFIX):
                changed = changed._set(key, key.removeprefix(PREFIX), annotations[key].strip())
        return changed

    def _check_allowed(self, place: str, name: str, value: str) -> None:
        if name == "hook" and _choice(place, value, _SWITCH) == "on":
            return  # as it is without
        if name in _ANNOTATIONS and name not in self.annotations:
            allowed = " ".join(f"{PREFIX}{key}" for key in self.annotations) or "none"
            raise _denied(place, value, f"the administrator allows {allowed} (VSMMU_ANNOTATIONS)")

    def _set(self, place: str, name: str, value: str) -> HookSettings:
        self._check_allowed(place, name, value)
        if name == "hook":
            return self._replace(enabled=_choice(place, value, _SWITCH) == "on")
        if name == "accel":
            return self._replace(accelerate=_accelerate(place, value))
        if name == "assume-safe":
            assume_safe = _choice(place, value, _SWITCH) == "on"
            if assume_safe and not self.assume_safe:
                raise _denied(place, value, "unknown facts would pass for known ones (VSMMU_ASSUME_SAFE)")
            return self._replace(assume_safe=assume_safe)
        if name == "fix":
            return self._replace(fix=_fix(place, value))
        if name == "also":
            return self._replace(also=tuple(part.strip() for part in value.split(",") if part.strip()))
        if name == "on-failure":
            on_failure = _on_failure(place, value)
            if on_failure != "fail" and self.on_failure == "fail":
                raise _denied(place, value, "a domain that was not checked would start (VSMMU_ON_FAILURE)")
            return self._replace(on_failure=on_failure)
        if name == "values":
            return self._replace(values=_values(place, value))
        if name == "policy":
            return self._replace(policy=_policy(place, value))
        known = ", ".join(f"{PREFIX}{key}" for key in _ANNOTATIONS)
        raise UsageError("annotation", f"there is no annotation {place!r:.80}", next=f"there are {known}")


def from_environment(environment: Mapping[str, str]) -> HookSettings:
    """The settings that the administrator gives.

    :raise UsageError: ``annotation``, naming the variable.
    """

    def get(name: str, default: str = "") -> str:
        return environment.get(name, "").strip() or default

    seconds = get("VSMMU_TIMEOUT", str(_DEFAULT_SECONDS))
    return HookSettings(
        facts=get("VSMMU_HOST", _DEFAULT_FACTS),
        fix=_fix("VSMMU_FIX", get("VSMMU_FIX", "off")),
        on_failure=_on_failure("VSMMU_ON_FAILURE", get("VSMMU_ON_FAILURE", "fail")),
        values=_values("VSMMU_VALUES", get("VSMMU_VALUES", "resolve")),
        policy=_policy("VSMMU_POLICY", get("VSMMU_POLICY", "common")),
        assume_safe=_choice("VSMMU_ASSUME_SAFE", get("VSMMU_ASSUME_SAFE", "off"), _SWITCH) == "on",
        qemu=get("VSMMU_QEMU", spell_version(LATEST_QEMU)),
        libvirt=get("VSMMU_LIBVIRT", spell_version(LATEST_LIBVIRT)),
        machine_type=get("VSMMU_MACHINE_TYPE"),
        annotations=_annotations(environment.get("VSMMU_ANNOTATIONS")),
        seconds=_seconds(seconds),
    )


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A remark on each variable that is named as ours are and says nothing to any part of vsmmu."""
    known = (*_VARIABLES, *_OF_OTHERS)
    strange = sorted(name for name in environment if name.startswith("VSMMU_") and name not in known)
    if not strange:
        return
    from vsmmu.suggestion import did_you_mean

    for name in strange:
        what = f"{name} in the environment is no setting of the hook, and has no effect"
        yield f"warning: {'; '.join(filter(None, (what, did_you_mean(name, _VARIABLES).rstrip())))}"


def _annotations(text: str | None) -> tuple[str, ...]:
    """The names in a list with commas; all but *hook*, if there is no list, and none, if it is empty."""
    names = [name.strip().removeprefix(PREFIX) for name in (text or "").split(",")]
    for name in filter(None, names):
        _choice("VSMMU_ANNOTATIONS", name, _ANNOTATIONS)
    return _ALLOWED if text is None else tuple(name for name in _ANNOTATIONS if name in names)


def _denied(place: str, value: str, why: str) -> UsageError:
    return UsageError(
        "annotation-denied",
        f"a VM may not ask for {place}: {value:.60}",
        why=why,
        next="leave the annotation out, or have the administrator set it for all VMs",
    )


def _choice(place: str, value: str, accepted: tuple[str, ...]) -> str:
    if value not in accepted:
        raise UsageError(
            "annotation", f"{place} does not take {value!r:.60}", next=f"write {' or '.join(accepted)}"
        )
    return value


def _on_failure(place: str, value: str) -> OnFailure:
    return "fail" if _choice(place, value, get_args(OnFailure)) == "fail" else "pass-through"


def _accelerate(place: str, value: str) -> Accelerate:
    chosen = _choice(place, value, get_args(Accelerate))
    return "create" if chosen == "create" else "on" if chosen == "on" else "off"


def _fix(place: str, value: str) -> Fix:
    return "certain" if _choice(place, value, get_args(Fix)) == "certain" else "off"


def _values(place: str, value: str) -> Values:
    return "keep" if _choice(place, value, get_args(Values)) == "keep" else "resolve"


def _policy(place: str, value: str) -> Policy:
    return "qemu" if _choice(place, value, _POLICIES) == "qemu" else "common"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_SECONDS:
        raise UsageError(
            "annotation",
            f"VSMMU_TIMEOUT does not take {text!r:.40}",
            next=f"write seconds, more than 0 and at most {_MAX_SECONDS:g}",
        )
    return seconds
