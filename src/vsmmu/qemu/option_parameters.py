# SPDX-License-Identifier: Apache-2.0
"""Options around the devices (``-name``, ``-netdev``, ``-chardev`` ...): names and forms of their parameters.

What each option takes was asked from 11.1.3 (QMP's ``query-command-line-options`` and ``query-qmp-schema``);
the sentences are those of util/qemu-option.c and the QAPI visitors. Whether a file, an address or a device
that they name is there is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.known_names import MEMBERS
from vsmmu.qemu.names import NameFault, nearest
from vsmmu.qemu.values import boolean, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.machine.model import NamedOption
    from vsmmu.qemu.versions import Qemu

__all__ = ["NETDEVS", "PARAMETERS", "option_faults"]

#: The release that was asked.
_ASKED: Final = (11, 1)
_THROTTLING: Final = "throttling."
#: Option -> its parameters, with ``:bool`` and ``:number`` where it is no text.
PARAMETERS: Final = {
    "action": "panic reboot shutdown watchdog",
    "add-fd": "fd:number opaque set:number",
    "chardev": (
        "abstract:bool append:bool backend chardev chardevs.0 chardevs.1 chardevs.2 chardevs.3 "
        "clipboard:bool cols:number debug:number delay:bool encoding fd height:number host input-path "
        "ipv4:bool ipv6:bool localaddr localport logappend:bool logfile logtimestamp:bool mouse:bool "
        "mux:bool name nodelay:bool path port reconnect-ms:number rows:number server:bool signal:bool "
        "size telnet:bool tight:bool tls-authz tls-creds tn3270:bool to:number wait:bool "
        "websocket:bool width:number"
    ),
    "fsdev": (
        "dmode:number fmode:number fsdriver max_xattr:number multidevs path readonly:bool "
        "security_model sock_fd:number socket writeout"
    ),
    "fw_cfg": "file gen_id name string",
    "icount": "align:bool rr rrfile rrsnapshot shift sleep:bool",
    "mon": "chardev mode pretty:bool",
    "msg": "guest-name:bool timestamp:bool",
    "name": "debug-threads:bool guest process",
    "option-rom": "bootindex:number romfile",
    "overcommit": "cpu-pm:bool mem-lock",
    "rtc": "base clock driftfix",
    "run-with": "async-teardown:bool chroot exit-with-parent:bool user",
    "sandbox": "elevateprivileges enable:bool obsolete resourcecontrol spawn",
    "semihosting-config": "arg chardev enable:bool target userspace:bool",
    "trace": "enable events file",
    "vnc": (
        "audiodev connections:number display head:number ipv4:bool ipv6:bool key-delay-ms:number "
        "lock-key-sync:bool lossy:bool non-adaptive:bool password:bool password-secret "
        "power-control:bool reverse:bool sasl:bool sasl-authz share tls-authz tls-creds to:number vnc "
        "websocket"
    ),
}
#: Type of ``-netdev`` -> its parameters; ``!`` is behind one that must be there.
NETDEVS: Final = {
    "bridge": "br helper",
    "dgram": "local:struct remote:struct",
    "hubport": "hubid! netdev",
    "l2tpv3": (
        "cookie64:bool counter:bool dst! dstport ipv6:bool offset pincounter:bool rxcookie rxsession "
        "src! srcport txcookie txsession! udp:bool"
    ),
    "netmap": "devname ifname!",
    "nic": "addr macaddr model netdev vectors",
    "none": "",
    "passt": (
        "address dhcp-dns:bool dhcp-search:bool dhcp:bool dhcpv6:bool dns dns-forward dns-host fqdn "
        "freebind:bool gateway icmp:bool interface ipv4:bool ipv6:bool mac map-guest-addr "
        "map-host-loopback mtu ndp:bool netmask outbound outbound-if4 outbound-if6 param:list path "
        "quiet:bool ra:bool search:list tcp-ports:list tcp:bool udp-ports:list udp:bool vhost-user:bool"
    ),
    "socket": "connect fd listen localaddr mcast udp",
    "stream": "addr:struct! reconnect-ms server:bool",
    "tap": (
        "br downscript fd fds helper ifname poll-us queues script sndbuf vhost:bool vhostfd vhostfds "
        "vhostforce:bool vnet_hdr:bool"
    ),
    "user": (
        "bootfile dhcpstart dns dnssearch:list domainname guestfwd:list host hostfwd:list hostname ip "
        "ipv4:bool ipv6-dns ipv6-host ipv6-prefix ipv6-prefixlen ipv6:bool net restrict:bool smb "
        "smbserver tftp tftp-server-name"
    ),
    "vde": "group mode port sock",
    "vhost-user": "chardev! queues vhostforce:bool",
    "vhost-vdpa": "queues vhostdev vhostfd x-svq:bool",
}
#: Types of ``-netdev`` and of ``-chardev`` that only some builds have.
_OF_SOME_BUILDS: Final = frozenset(
    (
        "af-xdp braille console dbus qemu-vdagent spiceport spicevmc vmnet-bridged vmnet-host vmnet-shared"
    ).split()
)
#: What ``-chardev help`` says.
_CHARDEVS: Final = frozenset(
    (
        "file hub memory msmouse mux null parallel pipe pty ringbuf serial socket stdio testdev udp vc "
        "wctablet"
    ).split()
)


def option_faults(options: Iterable[NamedOption], qemu: Qemu) -> Iterator[tuple[str, NameFault]]:
    """The option that QEMU names (empty for ``-boot``) and what it says, each option's first fault."""
    certain = qemu.modelled and qemu.fork is None and qemu.version >= _ASKED
    for option in options:
        if option.name == "drive":
            continue  # the board judges it (vsmmu.qemu.drive_options)
        found = _fault(option, certain=certain)
        if found is not None:
            yield "" if option.name == "boot" else option.origin.option, found


def _fault(option: NamedOption, *, certain: bool) -> NameFault | None:
    if option.name == "boot":
        return _boot(option.settings, certain=certain)
    if option.name == "netdev":
        return _netdev(option.settings, certain=certain)
    kinds = _kinds(PARAMETERS[option.name])
    for name, text in option.settings.items():
        if name == "id" or (option.name == "fsdev" and name.startswith(_THROTTLING)):
            continue
        if name not in kinds:
            return _unknown(name, kinds, certain=certain)
        if kinds[name] == "bool" and boolean(text) is None:
            return _refused(f"Parameter '{name}' expects 'on' or 'off'", certain=certain)
    return _chardev(option.settings, certain=certain) if option.name == "chardev" else None


def _chardev(settings: Mapping[str, str], *, certain: bool) -> NameFault | None:
    kind = settings.get("backend", "")
    if "id" not in settings:
        return _refused("chardev: no id specified", certain=certain)
    if kind in _CHARDEVS:
        return None
    text = f"'{kind}' is not a valid char driver name"
    if not kind:
        text = f'chardev: "{settings["id"]}" missing backend'
    certain = certain and kind not in _OF_SOME_BUILDS
    return NameFault("qemu-property-value", certain, text, nearest(kind, _CHARDEVS))


def _netdev(settings: Mapping[str, str], *, certain: bool) -> NameFault | None:
    kind = settings.get("type", "")
    for name in ("type", "id"):
        if name not in settings:
            return _refused(f"Parameter '{name}' is missing", certain=certain)
    if kind not in NETDEVS:
        text = f"Parameter 'type' does not accept value '{kind}'"
        certain = certain and kind not in _OF_SOME_BUILDS
        return NameFault("qemu-property-value", certain, text, nearest(kind, NETDEVS))
    written = NETDEVS[kind].split()
    kinds = _kinds(NETDEVS[kind].replace("!", ""))
    for name in (entry.partition(":")[0].rstrip("!") for entry in written if entry.endswith("!")):
        if name not in settings and kinds[name] != "struct":
            return _refused(f"Parameter '{name}' is missing", certain=certain)
    for name, text in settings.items():
        if kinds.get(name) == "bool" and boolean(text) is None:
            return _refused(f"Parameter '{name}' expects 'on' or 'off'", certain=certain)
    for name in settings:
        whole = name.partition(".")[0]
        if name not in ("type", "id") and kinds.get(whole) != "struct" and name not in kinds:
            return _unknown(name, kinds, certain=certain)
    return None


def _boot(settings: Mapping[str, str], *, certain: bool) -> NameFault | None:
    members = MEMBERS["boot"]
    for name, text in settings.items():
        said = refusal(f"boot.{name}", members.get(name, ""), text, "keyval", {})
        if said:
            return _refused(said, certain=certain)
    for name in settings:
        if name not in members:
            text = f"Parameter 'boot.{name}' is unexpected"
            return NameFault("qemu-property-unknown", certain, text, nearest(name, members), name=name)
    return None


def _kinds(text: str) -> dict[str, str]:
    return {name: kind for name, _, kind in (entry.partition(":") for entry in text.split())}


def _unknown(name: str, known: Iterable[str], *, certain: bool) -> NameFault:
    likely = nearest(name, known)
    return NameFault("qemu-property-unknown", certain, f"Invalid parameter '{name}'", likely, name=name)


def _refused(text: str, *, certain: bool) -> NameFault:
    return NameFault("qemu-property-value", certain, text)
