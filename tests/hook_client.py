# SPDX-License-Identifier: Apache-2.0
"""KubeVirt's side of the hook over gRPC."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc

from vsmmu.kubevirt.protocol import CALLBACKS, PLUGIN, message

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SECONDS", "VMI", "HookClient"]

VMI = json.dumps({"metadata": {"name": "vm"}}).encode()
SECONDS = 20


class HookClient:
    """A client that knows only names and bytes, as virt-launcher's generated one does."""

    def __init__(self, socket: Path) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=options)

    def call(self, package: str, method: str, request: str, result: str, **fields: object) -> Any:
        service, name = method.split("/")
        rpc = self.channel.unary_unary(
            f"/{package}.{service}/{name}",
            request_serializer=lambda entry: entry.SerializeToString(),
            response_deserializer=message(package, result).FromString,
        )
        return rpc(message(package, request)(**fields), timeout=SECONDS, wait_for_ready=True)

    def define(self, version: str, data: bytes, vmi: bytes = VMI) -> bytes:
        names = ("Callbacks/OnDefineDomain", "OnDefineDomainParams", "OnDefineDomainResult")
        answer: bytes = self.call(CALLBACKS[version], *names, domainXML=data, vmi=vmi).domainXML
        return answer

    def mutate(self, data: bytes, kind: str = "libvirt") -> bytes:
        names = ("DomainHookService/MutateDomain", "MutateDomainRequest", "MutateDomainResponse")
        context = message(PLUGIN, "SidecarContext")(invocation_context="Boot")
        fields = {"domain_type": kind, "domain": data, "vmi": VMI, "sidecar_context": context}
        answer: bytes = self.call(PLUGIN, *names, **fields).domain
        return answer
