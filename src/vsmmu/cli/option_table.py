# SPDX-License-Identifier: Apache-2.0
"""Every option and argument of every verb, as one table of plain data.

:mod:`vsmmu.cli.options` makes click's parameters of the rows, and with them the help pages and the shell's
completion; docs/reference/command-line.md is made from these. Nothing heavy is imported here, nor click.
"""

from __future__ import annotations

from typing import Final, Literal

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import PROPERTIES, REGISTER_PROPERTIES
from vsmmu.versions import LATEST_LIBVIRT, LATEST_QEMU, spell_version

__all__ = ["OPTIONS", "Completed", "Option", "options_of"]

#: *path*: not looked at before it is opened, and - is standard input. *old-file*: must exist. *new-file*: no
#: directory. *count*: 0 or more. *number*: more than 0. The last two up to :attr:`Option.most`.
Kind = Literal["text", "flag", "choice", "path", "old-file", "new-file", "integer", "count", "number"]
#: What a shell offers: hosts, QEMU versions, functions of the host, these and its SMMUs, and names.
Completed = Literal["", "host", "qemu", "function", "device", "verb", "schema", "code"]


class Option(NamedTuple):
    """One option, or one argument, of some verbs.

    :param names: as typed, with a blank between (``-o --output``); an argument's name has no dash.
    :param verbs: the verbs that have it; a verb below a verb by both names (``lab run``).
    :param help: one sentence or two; arguments are described by their verb.
    :param metavar: what stands for the value in help.
    :param choices: what a *choice* can be.
    :param default: the value where nothing is written.
    :param supposed: what is taken where nothing is written, if the verb has to know that nothing was written.
    :param bare: the value where the option stands without one of its choices behind it.
    :param variable: the environment variable that is read where nothing is written.
    :param complete: what a shell offers besides files; empty for what the kind says.
    :param name: what the verb calls the value, where it is not the last of ``names``.
    """

    names: str
    verbs: tuple[str, ...]
    help: str = ""
    kind: Kind = "text"
    metavar: str = ""
    choices: tuple[str, ...] = ()
    default: str | float | None = None
    supposed: str = ""
    bare: str = ""
    most: float | None = None
    multiple: bool = False
    required: bool = False
    hidden: bool = False
    variable: str = ""
    complete: Completed = ""
    name: str = ""

    @property
    def is_argument(self) -> bool:
        """Whether it goes by its place and not by a name."""
        return not self.names.startswith("-")

    @property
    def key(self) -> str:
        """The name of its value in a program: ``machine_type`` for ``--machine-type``."""
        return self.name or self.names.split()[-1].lstrip("-").replace("-", "_")


def options_of(verb: str) -> tuple[Option, ...]:
    """The rows of a verb, in the order of its help."""
    return tuple(row for row in OPTIONS if verb in row.verbs)


def _output(*verbs: str, more: tuple[str, ...] = ()) -> Option:
    return Option(
        "-o --output", verbs, "Form of the answer.", "choice", choices=("text", "json", *more), default="text"
    )


#: Verbs about one VM, about the hosts of a fleet, and about this or another host.
_VM: Final = ("resolve", "explain", "check", "fix", "run", "bundle")
_FLEET: Final = ("compare", "baseline", "report")
_HOST: Final = (*_VM, "plan", "inspect", "show", "label", "kubevirt capabilities")
_LAB: Final = ("lab run", "lab shell")

_SAFE: Final = ", ".join(f"{entry.name}={entry.spell(entry.safe)}" for entry in REGISTER_PROPERTIES)
_QEMU: Final = Option(
    "--qemu",
    ("resolve", "explain", "check", "fix", "plan", "bundle"),
    "Which QEMU will run it: a version such as 11.0 or nvidia-10.1, or a binary to ask.",
    metavar="VERSION|BINARY",
    supposed=spell_version(LATEST_QEMU),
    variable="VSMMU_QEMU",
    complete="qemu",
)
#: Ten years; NFD's dates have four digits for the year.
_HOURS: Final = 87_600
_HOSTS: Final = "live|FILE|builtin:NAME"

OPTIONS: Final[tuple[Option, ...]] = (
    # Arguments
    Option("file", tuple(verb for verb in _VM if verb != "explain"), kind="path", metavar="VM"),
    Option("file", ("explain",), kind="path", metavar="VM", complete="code"),
    Option("more", ("check",), kind="path", metavar="[DIR]...", multiple=True),
    Option("devices", ("plan",), metavar="[DEVICE]...", multiple=True, complete="function"),
    Option("devices", ("show", "probe"), metavar="[DEVICE]...", multiple=True, complete="device"),
    Option("hosts", _FLEET, metavar="HOST...", multiple=True, required=True, complete="host"),
    Option("target", ("inspect",), kind="path", metavar="[VM]"),
    Option("argv", ("emulate",), metavar="[--] PROGRAM…", multiple=True, required=True),
    Option("argv", ("lab run",), metavar="[--] COMMAND…", multiple=True, required=True),
    Option("shell", ("completion",), kind="choice", choices=("bash", "zsh", "fish"), required=True),
    Option("name", ("schema",), metavar="[NAME]", complete="schema"),
    Option("verb", ("help",), complete="verb"),
    # The host
    Option("--host", _HOST,
           "Facts about the host: this machine, a facts file (- is standard input), or a built-in host.",
           metavar=_HOSTS, default="live", variable="VSMMU_HOST", complete="host"),
    Option("--host", ("emulate",),
           "The host to be.", metavar="FILE|builtin:NAME", required=True, variable="VSMMU_HOST",
           complete="host", name="host_name"),
    # Verbs about a VM
    _QEMU,
    _QEMU._replace(verbs=("run",), supposed="what the program itself says"),
    Option("--machine-type", (*_VM, "plan"),
           "The machine type, where the command line does not say it.", metavar="virt-X.Y"),
    Option("--libvirt", _VM,
           "Which libvirt will define the domain, where the VM is domain XML: a version, a program of it to "
           "ask, or the URI of its daemon.", metavar="VERSION|BINARY|URI",
           supposed=spell_version(LATEST_LIBVIRT)),
    Option("--policy", (*_VM, "plan"),
           "common: the most that all functions behind a vSMMU can have. qemu: what QEMU's own auto would "
           "take, the first device's.", "choice", choices=("common", "qemu"), default="common"),
    Option("--function", _VM,
           "The host function behind a vfio-pci with fd=. Repeatable.", metavar="ID=BDF", multiple=True,
           name="functions"),
    Option("--also", _VM,
           "A function that will be plugged in later; the values must fit it, too. Repeatable.",
           metavar="[VSMMU=]BDF", multiple=True, complete="function"),
    Option("--smmu", _VM,
           "The host SMMU that a vSMMU without endpoints is for: its name, or a function behind it.",
           metavar="[VSMMU=]NAME|BDF", multiple=True, complete="device"),
    Option("--assume-safe", (*_VM, "plan"),
           f"Where a fact is unknown take what asks least: {_SAFE}.", "flag"),
    Option("--allow-mixed", _VM,
           "Let one vSMMU stand for two host SMMUs (QEMU starts, attaching fails later).", "flag"),
    Option("--baseline", _VM,
           "Take no more than all hosts of a pool offer: what vsmmu baseline -o json printed.", "path",
           metavar="FILE[#POOL]"),
    Option("--pin-cmdqv", (*_VM, "plan"), "Pin cmdqv, too, instead of leaving it to QEMU.", "flag"),
    Option("--unpin", ("resolve", "explain", "fix", "run"),
           "Forget the written value of PROPERTY first, as one of another host; alone, of all. Repeatable.",
           "choice", metavar="[PROPERTY]", choices=(*PROPERTIES, "all"), bare="all", multiple=True),
    Option("--in-place", ("resolve", "fix"),
           "Write the result into the file, whole or not at all; its mode and owner stay. Never vm.sh > "
           "vm.sh: the shell empties it before vsmmu starts.", "flag"),
    Option("--backup", ("resolve", "fix"),
           "With --in-place: keep what the file was as FILE~, if it changes.", "flag"),
    Option("--diff", ("resolve",), "Show the change instead; exit status 1 if there is one.", "flag"),
    Option("--all", ("check",),
           "Judge every domain that libvirt defines, and the VMs in each DIR or file that is named.",
           "flag", name="every"),
    Option("--accelerate", ("fix",),
           "Move every function of the host behind a vSMMU for its host SMMU, and pin the values.",
           "flag"),
    Option("--only", ("fix",), "Mend only faults with this code. Repeatable.", metavar="CODE", multiple=True,
           complete="code"),
    Option("--diff", ("fix",), "Show each change instead, with code and reason.", "flag"),
    Option("--trace", ("check",), "Show what happens in which phase.", "flag"),
    Option("-q --quiet", ("check",), "Print nothing; the exit status tells.", "flag"),
    Option("--dry-run", ("run",), "Print the command that would be started, and what is opened.", "flag"),
    Option("--fd", ("run",),
           "Open /dev/iommu and the functions' devices, and pass them on: QEMU then needs no right to.",
           "flag"),
    Option("--spare", ("plan",),
           "Leave N ports for hot-plug behind each vSMMU.", "count", metavar="N", default=0, most=255),
    Option("--domain", ("plan",),
           "A libvirt domain to add to: its XML or its name; gives -o xml.", "path", metavar="FILE|NAME"),
    Option("--merge", ("plan",), "With --domain: print the whole domain, ready for virsh define.", "flag"),
    # Verbs about a running VM and about a host
    Option("--hotplug", ("inspect",),
           "Say whether this function could be plugged in, as QEMU would.", metavar="BDF",
           complete="function"),
    Option("--bus", ("inspect",),
           "With --hotplug: the port; a free one if not given.", metavar="PORT", default=""),
    Option("--pin", ("inspect",), "Print the values that make the same guest start elsewhere.", "flag"),
    Option("--function", ("inspect",),
           "The host function of an endpoint that came by descriptor. Repeatable.", metavar="ID=BDF",
           multiple=True, name="functions"),
    Option("--timeout", ("inspect",),
           "For all questions to one QEMU together.", "number", metavar="SECONDS", default=10.0, most=3600),
    Option("--timeout", ("capture",),
           "When to stop the program.", "number", metavar="SECONDS", default=60.0, most=3600),
    Option("--uri", ("inspect",), "Of libvirt, for a domain.", default="qemu:///system"),
    Option("--kernel-log", ("show",),
           "Take the facts from a kernel log instead: text of dmesg or journalctl -k, - for standard input.",
           "path", metavar="FILE"),
    Option("--kernel-release", ("show",),
           "Which Linux wrote it, where its first line is missing.", metavar="V", default=""),
    Option("--lspci", ("show",),
           "Add ATS and PASID of the functions from the text of lspci -vvv.", "path", metavar="FILE"),
    Option("--registers", ("show",), "Show every field of the ID registers that is known.", "flag"),
    Option("--evidence", ("show",), "Show where each value comes from.", "flag"),
    Option("--contribute", ("show",),
           "Print the facts as a built-in host would have them: without names, called after the product.",
           "flag"),
    Option("--log", ("bundle",),
           "QEMU's, libvirt's or the kernel's log, of which what matters is taken. Repeatable.", "path",
           metavar="FILE", multiple=True, name="logs"),
    Option("--write", ("bundle",), "Write it there once it has been shown.", "new-file", metavar="FILE"),
    Option("--yes", ("bundle",), "Write it without asking.", "flag"),
    Option("--list", ("plan",),
           "Show the host's functions and what they share, and plan nothing.", "flag", name="list_functions"),
    Option("--group", ("plan",),
           "What each vSMMU stands for: a host SMMU, or one root complex behind it, so that a GPU and a "
           "NIC that talk to each other sit together.",
           "choice", choices=("smmu", "root-complex"), default="smmu"),
    Option("--list", ("show",), "List the built-in hosts.", "flag", name="list_hosts"),
    Option("--bind", ("probe",),
           "Bind this one to vfio-pci for the moment.", metavar="DEVICE", multiple=True, complete="device"),
    Option("-n --dry-run", ("probe",), "Say what would be done, and do nothing.", "flag"),
    Option("-q --quiet", ("doctor",), "Only warnings and failures.", "flag"),
    Option("--fault", ("emulate",),
           "Let CALL fail with ERRNO, or only its Nth time. Repeatable.", metavar="CALL[:N]:ERRNO",
           multiple=True, name="faults"),
    Option("--trace", ("emulate",),
           "Write each call to FILE, one JSON line each.", "path", metavar="FILE", name="trace_file"),
    Option("--control", ("emulate",),
           "Listen here for functions that come and go.", metavar="PATH|@NAME", default=""),
    Option("--bind", ("emulate",),
           "Show this function on vfio-pci, whatever driver the facts name. Repeatable.", metavar="BDF|all",
           multiple=True),
    Option("-q --quiet", ("emulate",), "Do not say what is made up.", "flag"),
    # Verbs about many hosts, and a host among many
    Option("--pool", _FLEET,
           "Group the hosts: by kernel, title, source (file), or a label of the Kubernetes node.",
           metavar="LABEL"),
    _QEMU._replace(verbs=(*_FLEET, "label"), help="Which QEMU will run there."),
    Option("--device", (*_FLEET, "label"),
           "Only count SMMUs behind which there is such a PCI function, as in 10de:2941.",
           metavar="VENDOR[:DEVICE]"),
    Option("--strict", _FLEET, "Stop at the first record that is wrong.", "flag"),
    Option("--latest", _FLEET,
           "Of several records of one host count the latest (keeps all names in memory).", "flag"),
    Option("--for", ("compare",),
           "Ask which hosts can run this VM (a QEMU command line or domain XML).", "path", metavar="VM",
           name="vm"),
    Option("--for", ("doctor", "report"),
           "Ask for the least Linux, QEMU and libvirt for what this VM uses, and who has it.", "path",
           metavar="VM", name="vm"),
    Option("--libvirt", ("report",),
           "With --for: which libvirt runs there, where the VM is domain XML.", metavar="VERSION",
           supposed=spell_version(LATEST_LIBVIRT)),
    Option("--answer", ("compare",),
           "With -o hosts: which hosts to list, by what is known of the VM there; starts if not given. "
           "Repeatable.", "choice", choices=("starts", "unknown", "refused", "absent"), multiple=True,
           name="answers"),
    Option("--all", ("compare",), "Show the fields that are identical, too.", "flag", name="every"),
    Option("--assume-safe", ("compare",), "Accept hosts on which it starts as far as is known.", "flag"),
    Option("--assume-safe", ("baseline",),
           "Keep hosts of which not even the least values are known to fit.", "flag"),
    Option("--since", ("report",),
           "Earlier facts of the same hosts: show what changed class (keeps all names in memory).",
           metavar="HOST", multiple=True, complete="host"),
    Option("--title", ("report",), "The page's title.", default="vsmmu report"),
    Option("--names", ("report",),
           "How many hosts of each class to name.", "count", metavar="N", default=200, most=100_000),
    Option("--write", ("label",),
           "Write the feature file there, whole or not at all, instead of printing it.", "new-file",
           metavar="FILE"),
    Option("--expires", ("label",),
           "Let NFD forget it after so many hours, should nobody write it again.", "number", metavar="HOURS",
           most=_HOURS),
    Option("--node", ("label",), "The node's name.", metavar="NAME", supposed="the host's"),
    Option("--socket", ("kubevirt serve",),
           "Where to listen; for a plugin /var/run/kubevirt-plugin/NAME/hook.sock.", "new-file",
           metavar="PATH", default="/var/run/kubevirt-hooks/vsmmu.sock"),
    Option("--priority", ("kubevirt serve",),
           "Hooks with a higher one are called first.", "integer", metavar="N", default=0),
    Option("--version", ("kubevirt serve",),
           "Given by KubeVirt; all are served.", multiple=True, hidden=True, name="versions"),
    # The lab
    Option("--acpi", _LAB, "Boot through UEFI with ACPI and CANWBS: nesting works.", "flag"),
    Option("--libvirt", (*_LAB, "lab build"), "With libvirt, from Debian's unstable suite.", "flag"),
    Option("--device", _LAB,
           "One more device, as in QEMU's -device. Slots 05 to 07 of pcie.0 have e1000e, nvme and "
           "virtio-rng-pci, 1d to 1f the lab's own; null1 to null3 are drives without content.",
           metavar="QEMUDEV", multiple=True, name="devices"),
    Option("--no-default-devices", _LAB, "Without e1000e, nvme and virtio-rng-pci.", "flag"),
    Option("--memory", _LAB, "As in QEMU's -m.", metavar="M", default="3G"),
    Option("--kernel", (*_LAB, "lab build"),
           "A prebuilt arm64 Image or Image.gz instead of building one.", "old-file", metavar="FILE",
           variable="VSMMU_LAB_KERNEL"),
    Option("-v --verbose", _LAB, "Show the kernel console at the end.", "flag"),
    Option("--dry-run", ("lab build",), "Say what would be done, and do nothing.", "flag"),
    Option("--timeout", ("lab run",),
           "Kill COMMAND after so many seconds; exit status 124.", "number", metavar="S", default=300.0,
           most=7 * 24 * 3600),
    Option("--put", ("lab run",),
           "Hand in a file or directory.", metavar="HOSTPATH:GUESTPATH", multiple=True, name="puts"),
    Option("--get", ("lab run",),
           "Bring one back afterwards.", metavar="GUESTPATH:HOSTPATH", multiple=True, name="gets"),
    Option("-e --env", ("lab run",), "Set a variable for COMMAND.", metavar="NAME=VALUE", multiple=True),
    Option("-i --stdin", ("lab run",),
           "Pass standard input on, read to its end first.", "flag", name="with_stdin"),
    Option("--yes", ("lab clean",), "Do not ask.", "flag"),
    # The answer
    _output("explain", "check", "fix", "inspect", "probe", "doctor"),
    _output("resolve", "capture", more=("nul",)),
    _output("plan", more=("nul", "xml", "tree", "svg")),
    _output("show", more=("tree", "svg")),
    _output("compare", more=("hosts",)),
    _output("baseline", more=("qemu", "libvirt")),
    _output("report", more=("html", "csv")),
    _output("label", more=("nodefeature",)),
)  # fmt: skip
