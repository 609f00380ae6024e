# SPDX-License-Identifier: Apache-2.0
"""Forms of a text with a command line: systemd unit, libvirt log, process list; and what is no VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsmmu.api import check, load_host, read_vm
from vsmmu.diagnostic import Edit
from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.machine.topology import Topology

if TYPE_CHECKING:
    from vsmmu.machine.command_line.argv import CommandLine

SMMU = "arm-smmuv3,primary-bus=px1,id=smmu1,accel=on"
JSON = '{"driver":"arm-smmuv3","primary-bus":"px1","id":"smmu1","accel":true}'
UNIT = f"""\
# a VM
[Unit]
Description=a VM; with "quotes and 'others

[Service]
Environment=GPU=0009:01:00.0 "OPTS=-m 8G" 'X=a b'
Environment=PRICE=$5
ExecStartPre=/bin/qemu-system-aarch64 --version
ExecStart=/bin/false
ExecStart=
ExecStart=-/usr/bin/qemu-system-aarch64 -M virt $OPTS -name "it's %i,x=\\x41\\s\\"$$HOME\\"%%" \\
    # a comment in between
    -object iommufd,id=fd0 -device pxb-pcie,id=px1 \\
 ; another
    -device {SMMU} -device '{JSON.replace("smmu1", "smmu2")}' \\
    -device vfio-pci,host=${{GPU}},iommufd=fd0,id=gpu -append "${{X}}"

[Install]
WantedBy=multi-user.target
"""
START = "starting up libvirt version: 12.8.0, qemu version: 11.1.3, kernel: 7.3.4, hostname: node-a"
LOG = f"""\
2026-11-20 09:00:00.000+0000: {START}
LC_ALL=C \\
PATH=/usr/bin:/bin \\
/usr/bin/qemu-system-aarch64 \\
-name guest=first \\
-S
2026-11-20T09:00:01.100000Z qemu-system-aarch64: the host doesn't have that
2026-11-20 09:00:01.300+0000: shutting down, reason=failed
2026-11-20 09:05:00.000+0000: {START}
LC_ALL=C \\
XDG_DATA_HOME=/var/lib/libvirt/qemu/.local/share \\
/usr/bin/qemu-system-aarch64 \\
-name guest=second,debug-threads=on \\
-machine virt \\
-object '{{"qom-type":"iommufd","id":"fd0","fd":"21"}}' \\
-device '{{"driver":"pxb-pcie","id":"px1"}}' \\
-device '{JSON}' \\
-device '{{"driver":"vfio-pci","id":"gpu","iommufd":"fd0","host":"0009:01:00.0"}}'
char device redirected to /dev/pts/2 (label charserial0)
2026-11-20T09:05:01.100000Z qemu-system-aarch64: -device {{...}}: it doesn't fit
"""
LINE = (
    "/usr/bin/qemu-system-aarch64 -name guest=my vm -machine virt -append console=ttyAMA0 quiet "
    f'-object {{"qom-type":"iommufd","id":"fd0"}} -device {{"driver":"pxb-pcie","id":"px1"}} -device {JSON} '
    '-device {"driver":"vfio-pci","id":"gpu","iommufd":"fd0","host":"0009:01:00.0"}'
)
PS = f"""\
USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND
root           1  0.0  0.0  22   3 ?        Ss   10:00   0:00 /sbin/init it's
libvirt+    4711  1.0  2.0  1   2 ?        Sl   10:00   0:10 {LINE}
root           9  0.0  0.0  22   3 ?        S    10:00   0:00 grep qemu-system-aarch64
"""
PROXMOX = (
    "/usr/bin/kvm -id 100 -name 'vm,debug-threads=on' -no-shutdown -machine 'type=virt+pve0' "
    f"-object iommufd,id=fd0 -device pxb-pcie,id=px1 -device '{SMMU}' "
    "-device 'vfio-pci,host=0009:01:00.0,id=gpu,iommufd=fd0'\n"
)
FORMS = {
    "unit": UNIT,
    "log": LOG,
    "ps": PS,
    "ps-line": LINE + "\n",
    "ps-args": f"COMMAND\n{LINE}\n",
    "proxmox": PROXMOX,
}


def read(text: str) -> CommandLine:
    line = read_vm(text).command_line
    assert line is not None
    return line


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_a_form_is_read_and_comes_back(text: str) -> None:
    line = read(text)
    assert line.render() == text.encode()
    machine = line.machine()
    gpu = machine.device("gpu")
    assert gpu is not None
    assert gpu.text("host") == "0009:01:00.0"
    smmu = machine.device("smmu1")
    assert smmu is not None
    after = line.edit([Edit(smmu.number, "oas", "48")])
    assert after.machine().vsmmus[0].text("oas") == "48"
    written = ',"oas":"48"}' if smmu.form == "json" else ",oas=48"
    before = JSON if smmu.form == "json" else SMMU
    assert after.text() == text.replace(before, before.removesuffix("}") + written)


@pytest.mark.parametrize("name", ["virt+pve0", "virt-11.0+pve0", "virt-rhel9.8.0"])
def test_a_machine_of_a_distribution_is_open_until_it_is_said_what_it_stands_for(name: str) -> None:
    vm = read(
        f"/usr/bin/kvm -id 100 -nodefaults -machine 'gic-version=host,type={name},accel=kvm' -cpu host "
        f"-bios x -object iommufd,id=fd0 -device pxb-pcie,id=px1,bus_nr=16 -device '{SMMU}' "
        "-device pcie-root-port,id=port1,bus=px1 "
        "-device 'vfio-pci,host=0009:01:00.0,id=hostpci0,bus=port1,iommufd=fd0'\n"
    )
    host = load_host("builtin:gb200")
    assert check(vm, host).answer == "unknown"
    assert not {"qemu-not-virt", "qemu-machine-type"} & {entry.code for entry in check(vm, host).diagnostics}
    assert check(vm, host, machine_type="virt-11.1").answer == "starts"


def test_the_words_of_a_unit() -> None:
    line = read(UNIT)
    words = line.words
    assert words[:6] == ("/usr/bin/qemu-system-aarch64", "-M", "virt", "-m", "8G", "-name")
    assert 'it\'s %i,x=A "$HOME"%' in words
    assert words[-1] == "a b"
    with pytest.raises(InputRefused, match="systemd would expand the specifier '%i'"):
        line.render_words()


def test_what_a_unit_starts_otherwise() -> None:
    for text, what in (
        (
            "[Service]\nExecStart=/usr/local/bin/start-vm %i\n",
            "does not start QEMU itself: /usr/local/bin/start-vm",
        ),
        ("[Service]\nExecStart=qemu-kvm 'a\n", "a quote that is not closed"),
        ("[Service]\nExecStart=qemu-kvm -S\nExecStart=qemu-kvm -S\n", "more than one"),
        ("[Service]\nType=simple\n", "does not start QEMU itself"),
    ):
        with pytest.raises(InputRefused, match=what):
            read(text)
    hidden = "[Service]\nEnvironmentFile=/etc/vm\nExecStart=qemu-kvm -M virt -device vfio-pci,host=${GPU}\n"
    with pytest.raises(InputRefused, match=r"systemd would expand the variable '\$\{GPU\}'"):
        read(hidden).machine()


def test_a_unit_with_the_line_ends_of_windows_and_options_in_a_variable() -> None:
    text = UNIT.replace("\n", "\r\n").replace('"OPTS=-m 8G"', '"OPTS=-m 8G -smp 4"')
    line = read(text)
    assert line.words[3:7] == ("-m", "8G", "-smp", "4")
    smmu = line.machine().device("smmu1")
    assert smmu is not None
    assert line.edit([Edit(smmu.number, "oas", "48")]).text() == text.replace(SMMU, f"{SMMU},oas=48")


def test_the_last_start_of_a_log() -> None:
    line = read(LOG)
    assert "guest=second,debug-threads=on" in line.words
    assert line.prefix[0] == "LC_ALL=C"
    assert line.printed == ("qemu-system-aarch64: -device {...}: it doesn't fit",)
    assert line.machine().vsmmus[0].origin.place == "line 17"
    with pytest.raises(InputRefused, match="ends before the command"):
        read(LOG[: LOG.rindex("LC_ALL")])


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Nov {n} 09:05:0{n} node-a virtlogd[4{n}]: ",
        "2026-11-20T09:05:0{n}+0000 node-a libvirtd[7]: ",
        "/var/log/libvirt/qemu/second.log:",
        "second.log-{n}-",
        "> ",
        "[{n}.{n}] (vm) | ",
        "    ",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_log_that_another_program_shows(before: str, end: str) -> None:
    lines = [f"{before.format(n=number % 10)}{line}" for number, line in enumerate(LOG.splitlines())]
    text = end.join(lines) + end
    line, alone = read(text), read(LOG)
    assert line.text() == text
    assert (line.words, line.printed) == (alone.words, alone.printed)
    assert line.machine().vsmmus[0].origin.place == "line 17"
    after = line.edit([Edit(line.machine().vsmmus[0].number, "oas", "48")])
    assert after.text() == text.replace(JSON, JSON.removesuffix("}") + ',"oas":"48"}')


def test_a_log_that_is_cut_in_its_last_command() -> None:
    """Where a quote or the end of a line shows that words are missing nothing is said of the start."""
    last = LOG.index("LC_ALL", LOG.index("second") - 200)
    end = LOG.index("char device")
    for at in range(last, end - 1):
        quoted = LOG.count("'", last, at) % 2 == 1
        if quoted or LOG[:at].endswith("\\\n"):
            with pytest.raises(InputRefused, match="ends before the command"):
                read(LOG[:at])


#: What stands in front of a command in the lines of ps aux, ps -ef, ps ax, and pgrep -a, which have no head.
COLUMNS = [
    "root        4242 99.0  3.1 9999999 88888 ?        Sl   10:00   1:00 ",
    "libvirt+    4242       1 99 10:00 ?        00:01:00 ",
    "   4242 pts/0    Sl+    1:00 ",
    "4242 ",
]


@pytest.mark.parametrize("columns", COLUMNS)
def test_lines_of_processes_without_their_head(columns: str) -> None:
    line = "/usr/bin/qemu-system-aarch64 -M virt -append root=/dev/vda console=ttyAMA0 quiet -nographic\n"
    grep = f"{columns}grep --color=auto qemu-system-aarch64\n"
    for text in (columns + line, grep + columns + line, columns + line + grep):
        assert read(text).words == (
            *("/usr/bin/qemu-system-aarch64", "-M", "virt"),
            *("-append", "root=/dev/vda console=ttyAMA0 quiet", "-nographic"),
        )


def test_a_word_a_line() -> None:
    """``tr '\\0' '\\n' </proc/PID/cmdline``: a word can have blanks, and be empty."""
    words = ["/usr/bin/qemu-system-aarch64", "-name", "my vm", "-append", "", "-M", "virt", "-S"]
    words += ["-device", "arm-smmuv3,primary-bus=b,accel=on"]
    line = read("\n".join(words) + "\n")
    assert list(line.words) == words
    after = line.edit([Edit(line.machine().vsmmus[0].number, "oas", "48")])
    assert after.text() == "\n".join([*words[:-1], f"{words[-1]},oas=48"]) + "\n"
    with pytest.raises(InputRefused, match="the command has ended before the option"):
        read("qemu-system-aarch64\n-M virt\n")


def test_blanks_in_a_process_list() -> None:
    words = read(PS).words
    assert "guest=my vm" in words
    assert "console=ttyAMA0 quiet" in words
    with pytest.raises(InputRefused, match="more than one process"):
        read(PS + PS.partition("\n")[2])
    with pytest.raises(InputRefused, match="no process in it"):
        read("PID CMD\n1 init\n")


PIECES = st.sampled_from(
    [
        *"\"'\\\n$%{}()=;#@-:&|< ",
        *(
            "\\\n",
            "ExecStart=",
            "Environment=",
            "[Service]\n",
            "$@",
            "${x}",
            "args+=(",
            "if ",
            "fi\n",
            "done\n",
        ),
        *("() {", "}\n", "set -- ", "-device ", f"2026-11-20 09:05:00.000+0000: {START}\n", "PID CMD\n"),
        *("qemu-system-aarch64 ", "\0", "é", ",id=a", '{"a":"b"}'),
    ]
)
SCRIPT = f"""\
GPU=0009:01:00.0
args=(-M virt -device {SMMU})
args+=(-S)
exec qemu-kvm "${{args[@]}}" -name $GPU "$@"
"""


@given(
    st.sampled_from([UNIT, LOG, PS, LINE, PROXMOX, SCRIPT]),
    st.lists(st.tuples(st.integers(0, 2000), PIECES | st.none(), st.integers(0, 40)), max_size=4),
)
@example(UNIT, [(0, "\0", 0)])
def test_only_our_own_errors_come_of_what_is_broken(
    text: str, changes: list[tuple[int, str | None, int]]
) -> None:
    for at, piece, cut in changes:
        at %= len(text) + 1
        text = text[:at] + (piece or "") + text[at + (cut if piece is None else 0) :]
    try:
        line = read(text)
        assert line.render() == text.encode()
        machine = line.machine()
        Topology.of(machine)
        if machine.devices:
            line.edit(
                [Edit(machine.devices[0].number, "oas", "4 8"), Edit(machine.devices[0].number, "ats", "on")]
            )
        line.render_nul()
    except VsmmuError as error:
        caught = error
    else:
        return
    assert caught.next
    assert len(str(caught)) < 2000
