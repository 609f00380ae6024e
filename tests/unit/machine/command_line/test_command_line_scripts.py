# SPDX-License-Identifier: Apache-2.0
"""Scripts as people write them: what is read of each, held against the words of a real shell."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from vsmmu.diagnostic import Edit
from vsmmu.emulate.capture import capture
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_source

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.machine.command_line.argv import CommandLine

PXB = "-device pxb-pcie,id=px1,bus_nr=16,bus=pcie.0"
SMMU = "-device arm-smmuv3,primary-bus=px1,id=smmu1,accel=on"
PORT = "-device pcie-root-port,id=port1,bus=px1,chassis=1"
BASE = f"-M virt -nodefaults -object iommufd,id=fd0 {PXB} {SMMU} {PORT}"
GPU = "-device vfio-pci,host=0009:01:00.0,id=gpu,bus=port1,iommufd=fd0"
VGPU = "-device vfio-pci,host=$GPU,id=gpu,bus=port1,iommufd=fd0"
Q = "qemu-system-aarch64"


class Shape(NamedTuple):
    """A script that is read: its text, the shell that it is for, and whether parts stay opaque."""

    id: str
    text: str
    shell: str = "sh"
    opaque: bool = False
    arguments: tuple[str, ...] = ()


READ = [
    Shape("plain", f"#!/bin/sh\n{Q} {BASE} \\\n  {GPU}\n"),
    Shape("variable", f"GPU=0009:01:00.0\n{Q} {BASE} {VGPU}\n"),
    Shape(
        "braces-in-quotes",
        f'GPU="0009:01:00.0"\n{Q} {BASE} "{VGPU[8:].replace("$GPU", "${GPU}")}"\n'.replace(
            '"vfio', '-device "vfio'
        ),
    ),
    Shape("variable-of-variables", f"SEG=0009\nGPU=$SEG:01:00.0\nexec {Q} {BASE} {VGPU}\n"),
    Shape("exported", f"export GPU=0009:01:00.0\nreadonly BUS=px1\n{Q} {BASE} {VGPU} -name $BUS\n"),
    Shape("program-in-a-variable", f"QEMU={Q}\nGPU=0009:01:00.0\n$QEMU {BASE} {VGPU}\n"),
    Shape("options-in-a-variable", f'OPTS="{BASE}"\n{Q} $OPTS {GPU}\n'),
    Shape("options-collected", f'OPTS="{BASE}"\nOPTS="$OPTS {GPU}"\n{Q} $OPTS\n'),
    Shape("array", f'args=({BASE}\n  # the GPU\n  {GPU}\n)\n{Q} "${{args[@]}}"\n', "bash"),
    Shape(
        "array-appended", f'args=(-M virt)\nargs+=({BASE[8:]})\nargs+=({GPU})\n{Q} "${{args[@]}}"\n', "bash"
    ),
    Shape(
        "array-with-variables",
        f'GPU=0009:01:00.0\ndeclare -a args=({BASE} {VGPU})\n{Q} "${{args[@]}}" -S\n',
        "bash",
    ),
    Shape("two-arrays", f'm=(-M virt)\nd=({BASE[8:]} {GPU})\n"{Q}" "${{m[@]}}" "${{d[@]}}"\n', "bash"),
    Shape("set--", f'set -- {BASE}\nset -- "$@" {GPU}\nexec {Q} "$@"\n'),
    Shape("set--with-the-program", f'set -- {Q} {BASE} {GPU}\nexec "$@"\n'),
    Shape(
        "whole-command-in-an-array",
        f'cmd=({Q} {BASE})\ncmd+=({GPU})\necho "${{cmd[@]}}"\nexec "${{cmd[@]}}"\n',
        "bash",
    ),
    Shape("whole-command-in-a-variable", f'CMD="{Q} {BASE} {GPU}"\necho "+ $CMD"\n$CMD\n'),
    Shape(
        "default-of-a-known", f"GPU=0009:01:00.0\n{Q} {BASE} {VGPU.replace('$GPU', '${GPU:-0000:00:00.0}')}\n"
    ),
    Shape("wrappers", f"env A=b nice -n 5 {Q} {BASE} {GPU}\n"),
    Shape("background", f"{Q} {BASE} {GPU} >log 2>&1 </dev/null &\nwait\n"),
    Shape("in-an-if", f"if true; then\n  GPU=0009:01:00.0\n  {Q} {BASE} {VGPU}\nfi\n"),
    Shape(
        "branches-that-agree",
        f"GPU=0009:01:00.0\nif [ -z no ]; then GPU=0009:01:00.0; fi\n{Q} {BASE} {VGPU}\n",
    ),
    Shape(
        "in-a-function",
        f"start() {{\n  local n=vm\n  {Q} {BASE} {VGPU} -name $n\n}}\nGPU=0009:01:00.0\nstart\n",
    ),
    Shape("function-with-a-keyword", f"function start {{\n{Q} {BASE} {GPU}\n}}\nstart\n", "bash"),
    Shape(
        "in-a-loop", f"for i in 1; do\n GPU=0009:01:00.0\n {Q} {BASE} {VGPU} -name vm$i\ndone\n", opaque=True
    ),
    Shape("case", f"case x in\na) GPU=1 ;;\nx) GPU=0009:01:00.0; {Q} {BASE} {VGPU} ;;\nesac\n"),
    Shape("here-document", f"cat <<EOF >/dev/null\nit's $GPU\nEOF\nGPU=0009:01:00.0\n{Q} {BASE} {VGPU}\n"),
    Shape(
        "strict-mode",
        f"#!/usr/bin/env bash\nset -euo pipefail\nGPU=0009:01:00.0\n{Q} {BASE} {VGPU}\n",
        "bash",
    ),
    Shape("subshell-of-its-own", f"GPU=0009:01:00.0\n(GPU=0019:01:00.0)\n{Q} {BASE} {VGPU}\n"),
    Shape(
        "disk-and-net",
        f'D=$(echo /img/a)\n{Q} {BASE} {GPU} -drive file="$D",if=none,id=d -name "$D" '
        '-netdev user,id=n,hostfwd=tcp::$(echo 22)-:22 -append "root=$D" -serial file:$D -chardev '
        "file,id=c,path=$D\n",
        opaque=True,
    ),
    Shape(
        "mac-address",
        f"M=$(echo 52:54:00:12:34:56)\n{Q} {BASE} {GPU} -netdev user,id=n "
        "-device virtio-net-pci,netdev=n,mac=$M\n",
        opaque=True,
    ),
    Shape("memory-and-cpus", f"{Q} {BASE} {GPU} -m ${{MEM:-4G}} -smp $(echo 2)\n", opaque=True),
    Shape("arguments-forwarded", f'{Q} {BASE} {GPU} "$@"\n', opaque=True, arguments=("-m", "4 G")),
    Shape("options-unknown", f"{Q} {BASE} {GPU} $EXTRA\n", opaque=True),
    Shape("a-part-of-the-options-unknown", f'O="{BASE} -m $MEM $MORE"\n{Q} $O {GPU}\n', opaque=True),
    Shape("a-part-of-the-command-unknown", f'CMD="{Q} $MORE {BASE}"\n$CMD {GPU} "$@"\n', opaque=True),
    Shape(
        "heavy-quotes",
        f"G='0009':01:00.0\n{Q} {BASE} -device 'vfio-pci,host='\"$G\"',id=gpu,bus=port1,iommufd=fd0'\n",
    ),
    Shape("json", f'{Q} -M virt -device \'{{"driver":"vfio-pci","id":"gpu","host":"0009:01:00.0"}}\'\n'),
    Shape(
        "json-with-variable",
        f'GPU=0009:01:00.0\n{Q} -M virt -device \'{{"driver":"vfio-pci","id":"gpu","host":"\'$GPU\'"}}\'\n',
    ),
    Shape(
        "declared-arrays",
        f'declare -a ARGS\ndeclare -ar MORE=({BASE})\nARGS+=("${{MORE[@]}}")\nARGS+=({GPU})\n'
        f'declare -a ARGS\n{Q} "${{ARGS[@]}}"\n',
        shell="bash",
    ),
    Shape(
        "array-in-a-function",
        f'start() {{\nlocal -a args\nargs+=({BASE} {GPU})\n{Q} "${{args[@]}}"\n}}\nargs=(x)\nstart\n',
        shell="bash",
    ),
    Shape(
        "element-of-an-array",
        f"GPUS=(0000:00:00.0 0009:01:00.0)\n{Q} {BASE} {VGPU.replace('$GPU', '${GPUS[1]}')}\n",
        shell="bash",
    ),
    Shape(
        "indented-continuations", f"GPU=0009:01:00.0 # a GPU\n\n  {Q} \\\n\t{BASE} \\\n\t{VGPU}\n\necho $?\n"
    ),
]

REFUSED = {
    "substitution": f"GPU=$(cat gpu)\n{Q} {BASE} {VGPU}\n",
    "argument": f"GPU=$1\n{Q} {BASE} {VGPU}\n",
    "default": f"GPU=${{1:-0009:01:00.0}}\n{Q} {BASE} {VGPU}\n",
    "environment": f"{Q} {BASE} {VGPU}\n",
    "branches-that-differ": f"GPU=0009:01:00.0\nif [ -e x ]; then GPU=0019:01:00.0; fi\n{Q} {BASE} {VGPU}\n",
    "one-branch": f"if [ -e x ]; then GPU=0009:01:00.0; fi\n{Q} {BASE} {VGPU}\n",
    "other-branch": f"if [ -e x ]; then\nGPU=0009:01:00.0\nelse\n{Q} {BASE} {VGPU}\nfi\n",
    "and": f"GPU=0009:01:00.0\n[ -e x ] && GPU=0019:01:00.0\n{Q} {BASE} {VGPU}\n",
    "loop-variable": f"for GPU in a b; do\n{Q} {BASE} {VGPU}\ndone\n",
    "changed-in-the-loop": f"GPU=0009:01:00.0\nwhile :; do\n{Q} {BASE} {VGPU}\nGPU=0019:01:00.0\ndone\n",
    "function-changes-it": f"pick() {{ GPU=0019:01:00.0; }}\nGPU=0009:01:00.0\npick\n{Q} {BASE} {VGPU}\n",
    "read": f"GPU=0009:01:00.0\nread GPU\n{Q} {BASE} {VGPU}\n",
    "sourced": f"GPU=0009:01:00.0\n. ./config\n{Q} {BASE} {VGPU}\n",
    "eval": f"GPU=0009:01:00.0\neval $x\n{Q} {BASE} {VGPU}\n",
    "function-argument": f"start() {{\n{Q} {BASE} {VGPU.replace('$GPU', '$1')}\n}}\nstart 0009:01:00.0\n",
    "cut": f"GPU=0009:01:00.0/x\n{Q} {BASE} {VGPU.replace('$GPU', '${GPU%/*}')}\n",
    "machine": f"{Q} -M $MACHINE {BASE[8:]} {GPU}\n",
    "accelerator": f"{Q} {BASE} {GPU} -accel $ACCEL\n",
    "device": f"{Q} {BASE} -device $DEV\n",
    "address": f"{Q} {BASE} {GPU} -device virtio-net-pci,addr=$A\n",
    "pattern": f"{Q} {BASE} -device vfio-pci,host=0009*,bus=port1\n",
    "fields": f"IFS=:\nGPU=0009:01:00.0\n{Q} {BASE} {VGPU}\n",
    "itself": f"GPU=$GPU\n{Q} {BASE} {VGPU}\n",
    "gaps": f"GPUS=([1]=0009:01:00.0)\n{Q} {BASE} {VGPU.replace('$GPU', '${GPUS[0]}')}\n",
    "no-such-element": f"GPUS=(0009:01:00.0)\n{Q} {BASE} {VGPU.replace('$GPU', '${GPUS[1]}')}\n",
    "which-element": f"GPUS=($ALL 0009:01:00.0)\n{Q} {BASE} {VGPU.replace('$GPU', '${GPUS[1]}')}\n",
    "unset": f"GPU=0009:01:00.0\nunset GPU\n{Q} {BASE} {VGPU}\n",
    "pipeline": f"GPU=0009:01:00.0\necho | read GPU\n{Q} {BASE} {VGPU}\n",
}


def read(text: str) -> CommandLine:
    line = read_source(text.encode(), "vm.sh")
    assert line.render() == text.encode()
    return line


@pytest.mark.parametrize("shape", READ, ids=[shape.id for shape in READ])
def test_what_is_read_is_what_a_shell_makes_of_it(
    shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if shutil.which(shape.shell) is None:
        pytest.skip(f"no {shape.shell}")
    line = read(shape.text)
    gpu = line.machine().device("gpu")
    assert gpu is not None
    assert gpu.text("host") == "0009:01:00.0"
    script = tmp_path / "vm.sh"
    script.write_text(shape.text)
    (words,) = capture([shape.shell, str(script), *shape.arguments], 20).commands
    mine = line.words[len(line.prefix) :]
    if shape.opaque:
        with pytest.raises(InputRefused, match=r"vm\.sh, line .*would expand"):
            line.render_words()
        return
    assert mine == words
    assert line.render_words()[-len(words) :] == words


@pytest.mark.parametrize("shape", [s for s in READ if SMMU in s.text], ids=lambda shape: shape.id)
def test_an_edit_changes_the_one_option(shape: Shape) -> None:
    """The values land in the one option, wherever in the script it is written."""
    line = read(shape.text)
    smmu = line.machine().vsmmus[0]
    after = line.edit(
        [Edit(smmu.number, "ats", "on"), Edit(smmu.number, "oas", "48"), Edit(smmu.number, "ats", "off")]
    )
    assert after.text() == shape.text.replace("id=smmu1,accel=on", "id=smmu1,accel=on,ats=off,oas=48")


#: Lines beside the start that name QEMU or KVM and start nothing; none of them is run here.
BESIDE = (
    "[ -w /dev/kvm ] || exit 1",
    "if [ -e /dev/kvm ]; then opts=-x; fi",
    "if [[ ! -x /usr/bin/qemu-system-aarch64 ]]; then exit 1; fi",
    "test -c /dev/kvm && echo -n kvm",
    "command -v qemu-system-aarch64 >/dev/null || exit 1",
    "qemu-system-aarch64 --version | head -n 1",
    "qemu-system-aarch64 -machine help",
    "pkill -f qemu-system-aarch64",
    "trap 'pkill -P $$ qemu-system-aarch64' EXIT",
    "ls -l /dev/kvm /dev/iommu",
    "ps -ef | grep -v grep | grep -q qemu-system-aarch64",
    "apt-get update && apt-get install -y qemu-system-arm qemu-efi-aarch64",
    "sudo DEBIAN_FRONTEND=noninteractive apt-get -y install qemu-system-arm",
    "dnf install qemu-kvm -y",
    "make -j8 qemu-system-aarch64",
    "ln -sf /opt/qemu/bin/qemu-system-aarch64 /usr/local/bin/qemu-system-aarch64",
    "cp -a /usr/bin/qemu-system-aarch64 /tmp/",
    "wget -O qemu-system-aarch64 https://example.org/qemu",
    "systemctl stop qemu-kvm.service || true",
)


@pytest.mark.parametrize("beside", BESIDE)
def test_what_names_qemu_and_starts_nothing_is_no_second_start(beside: str) -> None:
    for text in (f"{beside}\n{Q} {BASE} {GPU}\n", f"{Q} {BASE} {GPU}\n{beside}\n"):
        gpu = read(text).machine().device("gpu")
        assert gpu is not None
        assert gpu.text("host") == "0009:01:00.0"


@pytest.mark.parametrize(
    "wrapper", ["docker run --rm --device /dev/kvm image", "podman exec -it vm", "gdb --args"]
)
def test_a_wrapper_that_nobody_knows_is_not_the_emulator(wrapper: str) -> None:
    line = read(f"{wrapper} {Q} {BASE} {GPU}\n")
    assert list(line.words[len(line.prefix) :])[:3] == [Q, *BASE.split()[:2]]
    assert all("virtio" not in device.driver for device in line.machine().devices)


def test_words_from_elsewhere_are_refused() -> None:
    with pytest.raises(InputRefused, match="xargs adds words"):
        read(f"xargs {Q} < options\n")


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_certain_is_refused_with_the_ways_out(text: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read(text).machine()
    assert caught.value.code == "shell-expansion"
    assert "vsmmu check --" in caught.value.next
    assert f"vsmmu capture -- {'bash' if '=(' in text else 'sh'} vm.sh" in caught.value.next


@pytest.mark.parametrize("front", ["> ", ">> ", "> > ", "+", "+ ", "{}  ", "  {}\t", "{}: "])
@pytest.mark.parametrize("first", [0, 1])
def test_quoted_text_is_told_from_a_script(front: str, first: int, tmp_path: Path) -> None:
    lines = f"{Q} \\\n  {BASE} \\\n{GPU} \\\n  -S\n".splitlines(keepends=True)
    quoted = [front.format(number) + line if number >= first else line for number, line in enumerate(lines)]
    with pytest.raises(InputRefused, match="as in a mail, after a prompt, or in a listing") as caught:
        read("".join(quoted))
    mend = caught.value.next.partition("rest: ")[2]
    (tmp_path / "vm").write_text("".join(quoted))
    mended = subprocess.run(["sh", "-c", f"{mend} vm"], cwd=tmp_path, capture_output=True, check=True)
    assert read(mended.stdout.decode()).words == read("".join(lines)).words


@pytest.mark.parametrize("end", ["-smp \\\n 2", "-S \\\n>log", "-smp \\\n 1 -S", "-S \\\n 2>&1 \\\n > log"])
def test_a_number_or_a_file_on_a_line_of_its_own_is_no_quoted_text(end: str) -> None:
    assert read(f"{Q} {BASE} {end}\n").machine().vsmmus


def test_a_device_in_a_variable_is_written_where_it_is_used() -> None:
    text = f'DEV=arm-smmuv3,primary-bus=px1,accel=on\n{Q} -M virt {PXB} -device $DEV -device "$DEV,id=b"\n'
    line = read(text)
    first, second = line.machine().vsmmus
    after = line.edit([Edit(first.number, "ats", "on"), Edit(second.number, "ats", "off")]).text()
    assert after == text.replace("-device $DEV ", "-device $DEV,ats=on ").replace("id=b", "id=b,ats=off")


def test_a_value_that_serves_two_devices_cannot_be_changed() -> None:
    text = f"A=auto\n{Q} -M virt {PXB} -device arm-smmuv3,id=a,ats=$A -device arm-smmuv3,id=b,ats=$A\n"
    line = read(text)
    with pytest.raises(Exception, match="without changing something else") as caught:
        line.edit([Edit(line.machine().vsmmus[0].number, "ats", "on")])
    assert getattr(caught.value, "code", "") == "not-editable"
    both = [Edit(vsmmu.number, "ats", "on") for vsmmu in line.machine().vsmmus]
    assert line.edit(both).text() == text.replace("A=auto", "A=on")


def test_what_a_shell_adds_is_unknown_and_the_rest_is_read() -> None:
    machine = read(f'{Q} {BASE} {GPU} "$@"\n').machine()
    (doubt,) = machine.unread
    assert (doubt.code, doubt.severity, doubt.where) == ("shell-arguments", "unknown", "line 1")
    assert not read(f"{Q} {BASE} {GPU} -name $NAME\n").machine().unread
    assert read(f'O="{BASE} -m $M $X"\n{Q} $O\n').machine().unread[0].what.endswith("that $X stands for")
    for program in ('"$@"', "$CMD", '"${CMD[@]}"', "$1", "sudo $1"):
        assert [entry.code for entry in read(f"{program} {BASE}\n").machine().unread] == ["shell-arguments"]
    listed = read(f'{Q} {BASE} -display "$@"\n').machine()
    assert [entry.code for entry in listed.unread] == ["shell-arguments"]
    nic = read(f"{Q} -M virt -nic $NIC -drive $DRIVE {GPU}\n").machine()
    assert not nic.default_nic
    assert [device.id for device in nic.devices] == ["gpu"]


def test_many_assignments_end() -> None:
    doubled = "A=x\n" + "A=$A$A\n" * 200 + f"{Q} -M virt -name $A\n"
    assert read(doubled).machine().machine_type == "virt"
    chain = "A0=x\n" + "".join(f"A{n + 1}=$A{n}\n" for n in range(900)) + f"{Q} -M $A900\n"
    assert read(chain).machine().machine_type == "x"
    many = "".join(f"A{n}=x\n" for n in range(3000)) + f"{Q} -M $A1\n"
    with pytest.raises(InputRefused, match="would expand"):
        read(many).machine()
