# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - elements in one piece
"""Domains that leave controllers and addresses to libvirt: chosen ones, and such that a seed makes."""

from __future__ import annotations

from random import Random

from domains import GOLDEN, domain

#: Domain -> what libvirt 12.8 makes of it, recorded by tests/libvirt/test_libvirt_implicit.py.
IMPLICIT = GOLDEN / "implicit.json"

BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
NO_BALLOON = "<memballoon model='none'/>"


def at(bus: int, slot: int = 0, function: int = 0) -> str:
    return (
        f"<address type='pci' domain='0x0000' bus='{bus:#04x}' slot='{slot:#04x}' function='{function:#x}'/>"
    )


def disk(name: str, address: str = "", model: str = "virtio") -> str:
    return f"<disk type='file' device='disk'><source file='/img/{name}.raw'/><target dev='{name}' bus='{model}'/>{address}</disk>"


def hostdev(bus: int, address: str = "") -> str:
    return f"<hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='yes'/><source><address domain='0x0009' bus='{bus:#04x}' slot='0x00' function='0x0'/></source>{address}</hostdev>"


def controller(index: int, model: str, content: str = "") -> str:
    return f"<controller type='pci' index='{index}' model='{model}'>{content}</controller>"


def usb2(*parts: str, index: int = 0, place: str = "") -> str:
    masters = {"ich9-uhci1": 0, "ich9-uhci2": 2, "ich9-uhci3": 4}
    return "".join(
        f"<controller type='usb' index='{index}' model='{part}'>"
        + (f"<master startport='{masters[part]}'/>" if part in masters else "")
        + place
        + "</controller>"
        for part in parts
    )


NET = "<interface type='user'><model type='{}'/>{}</interface>"
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend>{}</rng>"
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
CRYPTO = "<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/></crypto>"
ALL_USB = ("ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3")

#: Parts of domains, all without the addresses or controllers that libvirt chooses.
UNNUMBERED = {
    name: f"<controller type='pci' model='{model}'/>"
    for name, model in (("root", "pcie-root"), ("port", "pcie-root-port"))
}


def unrooted(controllers: str) -> bytes:
    """A domain with these controllers alone, and a hostdev without address."""
    written = domain(**BARE | {"port": controllers, "hostdev": hostdev(1)})
    return written.replace(b"<controller type='pci' index='0' model='pcie-root'/>", b"", 1)


DOMAINS = {
    "nothing": domain(**BARE),
    "port-of-a-disk": domain(**BARE, more=disk("vda", at(5))),
    "port-above-the-others": domain(more=RNG.format(at(3)) + NO_BALLOON),
    "gap-between-controllers": domain(port=controller(4, "pcie-root-port", at(1))),
    "gap-is-taken": domain(hostdev=hostdev(1, at(4)), port=controller(4, "pcie-root-port", at(1)), more=disk("vda")),
    "disks-without-address": domain(**BARE, more="".join(disk(f"vd{letter}") for letter in "abcdefghij")),
    "hostdevs-without-address": domain(**BARE | {"hostdev": hostdev(1) + hostdev(2)}),
    "hostdev-goes-behind-the-smmu": domain(hostdev=hostdev(1)),
    "disk-takes-the-hostdevs-port": domain(hostdev=hostdev(1), more=disk("vda") + RNG.format("")),
    "hostdev-has-the-first-port-left": domain(hostdev=hostdev(1) + hostdev(2, at(3)), more=disk("vda", at(2))),
    "every-kind": domain(**BARE, more="".join([
        "<video><model type='virtio'/></video>", "<watchdog model='i6300esb' action='none'/>", "<vsock model='virtio'><cid auto='no' address='3'/></vsock>",
        "<sound model='ich9'/>", "<memballoon model='virtio'/>", RNG.format(""), NET.format("e1000e", ""), NET.format("virtio", ""), disk("vda"),
        "<input type='keyboard' bus='virtio'/>", "<controller type='scsi' index='0' model='virtio-scsi'/>", "<controller type='virtio-serial' index='0'/>",
        "<controller type='usb' index='0' model='qemu-xhci'/>", "<shmem name='s'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>", CRYPTO,
        hostdev(1),
    ])),
    "conventional-devices": domain(**BARE, more=NET.format("e1000", "") * 2 + "<sound model='ich6'/>" + disk("vda") + NO_BALLOON),
    "conventional-beside-free-ports": domain(hostdev="", more=NET.format("rtl8139", "") + disk("vda") + NO_BALLOON),
    "transitional": domain(**BARE, more=disk("vda") + NET.format("virtio-transitional", "") + NET.format("virtio-non-transitional", "")),
    "integrated": domain(**BARE | {"iommu": "<iommu model='virtio'/>"}, more="<panic model='pvpanic'/>" + disk("vda")),
    "companions": domain(**BARE, more=usb2(*ALL_USB)),
    "companions-backwards": domain(**BARE, more=usb2(*reversed(ALL_USB)) + usb2(*ALL_USB, index=1) + disk("vda")),
    "companions-with-addresses": domain(more="".join(usb2(part, place=at(0, 9, function)) for part, function in zip(ALL_USB, (7, 0, 1, 2), strict=True)) + NO_BALLOON),
    "companions-of-a-placed-master": domain(more=usb2("ich9-ehci1", place=at(0, 9, 7)) + usb2(*ALL_USB[1:])),
    "controllers-without-address": domain(
        expander=controller(1, "pcie-expander-bus"), port="".join(controller(index, "pcie-root-port") for index in range(2, 13)), hostdev=hostdev(1, at(12)),
    ),
    "controllers-without-index": unrooted(UNNUMBERED["root"] + UNNUMBERED["port"] * 2),
    "index-left-free": unrooted(UNNUMBERED["root"] + UNNUMBERED["port"] + controller(1, "pcie-root-port")),
    "index-before-the-root": unrooted(
        UNNUMBERED["port"] * 2 + controller(0, "pcie-root") + controller(5, "pcie-root-port")
    ),
    "two-expanders-in-any-order": domain(
        expander=controller(2, "pcie-expander-bus") + controller(1, "pcie-expander-bus"), port=controller(3, "pcie-root-port", at(1)) + controller(4, "pcie-root-port", at(2)),
        iommu="<iommu model='smmuv3'><driver pciBus='2' accel='on'/></iommu>", hostdev=hostdev(1, at(4)),
    ),
    "ports-share-slots": domain(port=controller(2, "pcie-root-port", at(1)) + controller(3, "pcie-root-port", at(0, 2)) + controller(4, "pcie-root-port", at(0, 3, 1)), more=disk("vda", at(9))),
    "switch": domain(
        **BARE, more=controller(1, "pcie-root-port") + controller(2, "pcie-switch-upstream-port") + controller(3, "pcie-switch-downstream-port") + controller(4, "pcie-switch-downstream-port") + disk("vda"),
    ),
    "bridge-is-there": domain(**BARE, more=controller(1, "pcie-root-port") + controller(2, "pcie-to-pci-bridge") + NET.format("e1000", "") + disk("vda")),
    "address-of-zeroes": domain(**BARE, more=disk("vda", "<address type='pci' domain='0x0000' bus='0x00' slot='0x00' function='0x0'/>") + disk("vdb", "<address type='pci'/>")),
    "devices-on-the-root": domain(**BARE, more=disk("vda", at(0, 1)) + disk("vdb", at(0, 2, 1)) + disk("vdc", at(0, 2)) + disk("vdd")),
    "bridge-without-port": domain(**BARE, more=controller(1, "pcie-to-pci-bridge") + disk("vda") + RNG.format("") + "<video><model type='virtio'/></video>"),
    "disks-in-another-order": domain(**BARE, more=disk("vdc") + disk("vda") + disk("vdaa")),
    "channel": domain(**BARE, more=CHANNEL + disk("vda")),
    "channel-and-console": domain(**BARE, more=disk("vda") + CHANNEL + "<console type='pty'><target type='virtio' port='0'/></console>" + RNG.format("")),
    "scsi-disks": domain(**BARE, more=disk("sda", model="scsi") + disk("sdh", model="scsi") + disk("vda")),
    "scsi-disk-of-second-controller": domain(**BARE, more=disk("sda", "<address type='drive' controller='1' bus='0' target='0' unit='0'/>", "scsi") + disk("vda")),
    "sata-disk": domain(**BARE, more=disk("sda", model="sata") + disk("vda")),
    "usb-of-no-model": domain(**BARE, more="<controller type='usb' index='0'/>" + "<controller type='scsi' index='0'/>" + disk("vda")),
    "usb-none": domain(**BARE, more="<controller type='usb' index='0' model='none'/>" + disk("vda")),
    "sound-and-graphics": domain(**BARE, more="<graphics type='vnc'/><sound model='ich9'><codec type='micro'/></sound>" + disk("vda")),
    "video-of-no-model": domain(**BARE, more="<video/>" + disk("vda")),
    "graphics-alone": domain(**BARE, more="<graphics type='vnc' port='-1'/>" + disk("vda")),
    "balloon-of-no-model": domain(**BARE | {"more": disk("vda")}),
    "disks-of-no-bus": domain(**BARE, more="<disk type='file'><source file='/img/b.raw'/><target dev='vdb'/></disk><disk type='file'><source file='/img/b.raw'/><target dev='sdb'/></disk>"),
    "a-second-controller-is-there": domain(**BARE, more="<controller type='scsi' index='1' model='virtio-scsi'/>" + disk("sda", model="scsi") + CHANNEL + disk("sdb", model="sata")),
    "unassigned": domain(hostdev=hostdev(2, "<address type='unassigned'/>") + hostdev(1)),
}  # fmt: skip


def made(seed: int) -> bytes:
    """A domain with some controllers, devices and addresses; libvirt may refuse it."""
    random = Random(seed)
    models, controllers = {0: "pcie-root"}, []
    for _ in range(random.randint(0, 6)):
        index = max(models) + random.choice([1, 1, 1, 2, 3])
        model = random.choice(["pcie-root-port"] * 5 + ["pcie-expander-bus"] * 2 + ["pcie-to-pci-bridge"])
        address = ""
        if model == "pcie-root-port" and random.random() < 0.7:
            roots = [bus for bus, kind in models.items() if kind in ("pcie-root", "pcie-expander-bus")]
            address = at(random.choice(roots), random.randint(1, 4), random.randint(0, 2))
        elif model == "pcie-expander-bus" and random.random() < 0.5:
            address = at(0, random.randint(5, 9))
        models[index] = model
        controllers.append(controller(index, model, address))
    random.shuffle(controllers)
    devices = [_device(random, number, max(models)) for number in range(random.randint(0, 7))]
    return domain(**BARE | {"more": "".join([*controllers, *devices])})


def _device(random: Random, number: int, last: int) -> str:
    address = ""
    if random.random() < 0.25:
        address = at(random.randint(1, last + 3))
    elif random.random() < 0.2:
        address = at(0, random.randint(10, 20), random.choice([0, 0, 1]))
    return random.choice([
        disk(f"vd{chr(ord('a') + number)}", address), disk(f"sd{chr(ord('a') + number)}", model="scsi"), RNG.format(address), CHANNEL,
        hostdev(number + 1, address), hostdev(number + 1, address), f"<sound model='ich6'>{address}</sound>", f"<video><model type='virtio'/>{address}</video>",
        f"<input type='keyboard' bus='virtio'>{address}</input>", CRYPTO, NET.format(random.choice(["virtio", "e1000"]), ""),
    ])  # fmt: skip
