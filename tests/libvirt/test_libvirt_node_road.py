# SPDX-License-Identifier: Apache-2.0
"""The end of the node's road: a real libvirt defines what the shipped hook makes of KubeVirt's domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

from domains import golden
from node import Node

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]


def test_a_probed_node_s_domain_is_defined_and_becomes_qemu_s_words(
    libvirt: Libvirt, tmp_path_factory: pytest.TempPathFactory
) -> None:
    node = Node(tmp_path_factory.mktemp("node"), "builtin:gb200")
    node.probe()
    before = golden("kubevirt").replace(b' ats="on" ril="off" ssidSize="20" oas="48"', b"")
    answer = node.ask_program(before)
    assert node.ask_server(before) == answer, node.log()
    script = (
        "virsh -q define vm.xml && virsh dumpxml --inactive default_gpu-vm > defined.xml && "
        "virsh domxml-to-native qemu-argv defined.xml > vm.args"
    )
    done = libvirt(script, {"vm.xml": as_tcg(answer)})
    assert done.status == 0, done.stderr
    assert done.files["defined.xml"].count(b"ats='off' ril='off' ssidsize='20' oas='48'") == 2
    words = done.files["vm.args"].decode()
    assert words.count('"accel":true,"ats":"off","ril":"off","ssidsize":"20","oas":"48"') == 2, words
