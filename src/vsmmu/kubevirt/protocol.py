# SPDX-License-Identifier: Apache-2.0
"""KubeVirt's gRPC messages, from one table; nothing is generated, and no ``protoc`` is needed to build.

The wire format is the business of protobuf's own runtime: a codec of ours would be one more parser of other
people's bytes. Field numbers are those of kubevirt/kubevirt: ``pkg/hooks/info/api_info.proto``,
``pkg/hooks/v1alpha{1,2,3}/api_*.proto``, ``pkg/hooks/plugins/v1alpha1/api.proto`` (the request as VEP-190
and the enhancement for runtime reconciliation have it). All versions have the same OnDefineDomain.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CALLBACKS", "INFO", "PLUGIN", "VERSIONS", "message"]

#: Hook versions, the newest first as virt-launcher chooses them.
VERSIONS: Final = ("v1alpha3", "v1alpha2", "v1alpha1")
INFO: Final = "kubevirt.hooks.info"
PLUGIN: Final = "kubevirt.hooks.plugins.v1alpha1"
#: Hook version -> its package.
CALLBACKS: Final[Mapping[str, str]] = MappingProxyType({name: f"kubevirt.hooks.{name}" for name in VERSIONS})

_Field = tuple[str, int, str]
_ON_DEFINE: Final[Mapping[str, tuple[_Field, ...]]] = {
    "OnDefineDomainParams": (("domainXML", 1, "bytes"), ("vmi", 2, "bytes")),
    "OnDefineDomainResult": (("domainXML", 1, "bytes"),),
}
#: Package -> message -> its fields: name, number, type; ``*`` for repeated.
_MESSAGES: Final[Mapping[str, Mapping[str, tuple[_Field, ...]]]] = {
    INFO: {
        "InfoParams": (),
        "HookPoint": (("name", 1, "string"), ("priority", 2, "int32")),
        "InfoResult": (("name", 1, "string"), ("hookPoints", 3, "*HookPoint"), ("versions", 4, "*string")),
    },
    CALLBACKS["v1alpha1"]: _ON_DEFINE,
    CALLBACKS["v1alpha2"]: _ON_DEFINE,
    CALLBACKS["v1alpha3"]: {**_ON_DEFINE, "ShutdownParams": (), "ShutdownResult": ()},
    PLUGIN: {
        "SidecarContext": (("invocation_context", 1, "string"),),
        "MutateDomainRequest": (
            ("domain_type", 1, "string"),
            ("domain", 2, "bytes"),
            ("vmi", 3, "bytes"),
            ("sidecar_context", 4, "SidecarContext"),
        ),
        "MutateDomainResponse": (("domain", 1, "bytes"),),
    },
}
_FieldProto: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bytes": _FieldProto.TYPE_BYTES,
    "int32": _FieldProto.TYPE_INT32,
    "string": _FieldProto.TYPE_STRING,
}


def message(package: str, name: str) -> Any:
    """The class of a message; instances have its fields as attributes.

    :raise KeyError: if there is no such message.
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{package}.{name}"))


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in _MESSAGES[package].items():
        entry = proto.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = kind.startswith("*")
            kind = kind.removeprefix("*")
            added = entry.field.add(name=field, number=number)
            added.label = _FieldProto.LABEL_REPEATED if repeated else _FieldProto.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = _FieldProto.TYPE_MESSAGE, f".{package}.{kind}"
    return proto


def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of our own: another program in this process may have KubeVirt's files in the common one."""
    pool = descriptor_pool.DescriptorPool()
    for package in _MESSAGES:
        pool.Add(_file(package))
    return pool


_POOL: Final = _pool()
