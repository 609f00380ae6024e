# SPDX-License-Identifier: Apache-2.0
"""iommufd's objects: numbers, references, what is busy, what goes with what."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from emulate_helpers import FAR, WORDS, A, B, FakeMemory, Kernel, fact, host
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.emulate import iommufd as calls
from vsmmu.emulate.calls import CallRecord
from vsmmu.emulate.errno_error import KernelError
from vsmmu.host.facts import RegisterFact
from vsmmu.uapi import hw_info, iommufd, nesting

if TYPE_CHECKING:
    from vsmmu.emulate.objects import DeviceObject

NEST = iommufd.IOMMU_HWPT_ALLOC_NEST_PARENT
DATA = FakeMemory.BASE + 0x1000


def ioas(kernel: Kernel) -> int:
    return int(kernel.call(iommufd.IOMMU_IOAS_ALLOC, iommufd.iommu_ioas_alloc()).out_ioas_id)


def hwpt(kernel: Kernel, device: int, parent: int, flags: int = 0) -> int:
    argument = iommufd.iommu_hwpt_alloc(dev_id=device, pt_id=parent, flags=flags)
    return int(kernel.call(iommufd.IOMMU_HWPT_ALLOC, argument).out_hwpt_id)


def nested(kernel: Kernel, device: int, viommu: int, *ste: int) -> int:
    kernel.memory.write(DATA, bytes(iommufd.iommu_hwpt_arm_smmuv3((ctypes.c_uint64 * 2)(*ste))))
    argument = iommufd.iommu_hwpt_alloc(dev_id=device, pt_id=viommu, data_type=2, data_len=16, data_uptr=DATA)
    return int(kernel.call(iommufd.IOMMU_HWPT_ALLOC, argument).out_hwpt_id)


def viommu(kernel: Kernel, device: int, parent: int, kind: int = 1) -> int:
    argument = nesting.iommu_viommu_alloc(type=kind, dev_id=device, hwpt_id=parent)
    return int(kernel.call(nesting.IOMMU_VIOMMU_ALLOC, argument).out_viommu_id)


def destroy(kernel: Kernel, number: int) -> str:
    return kernel.errno(iommufd.IOMMU_DESTROY, iommufd.iommu_destroy(id=number))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_numbers_start_at_1_and_the_lowest_free_is_next(kernel: Kernel) -> None:
    assert [ioas(kernel) for _ in range(3)] == [1, 2, 3]
    assert destroy(kernel, 2) == "ok"
    assert ioas(kernel) == 2


def test_what_is_used_is_busy(kernel: Kernel) -> None:
    device = kernel.bind(A).id
    space = ioas(kernel)
    parent = hwpt(kernel, device, space, NEST)
    virtual = viommu(kernel, device, parent)
    table = nested(kernel, device, virtual, 1, 0)
    assert [destroy(kernel, number) for number in (space, parent, virtual, device)] == ["EBUSY"] * 4
    assert [destroy(kernel, number) for number in (table, virtual, parent, space)] == ["ok"] * 4
    assert destroy(kernel, table) == "ENOENT"


def test_a_device_object_ends_with_its_file_only(kernel: Kernel) -> None:
    device = kernel.bind(A)
    assert destroy(kernel, device.id) == "EBUSY"
    kernel.context.unbind(device)
    assert destroy(kernel, device.id) == "ENOENT"
    assert kernel.bind(A).id == device.id


def test_an_attached_table_is_busy_and_an_automatic_one_goes_with_the_last_device(kernel: Kernel) -> None:
    first, second = kernel.bind(A), kernel.bind(B)
    space = ioas(kernel)
    table = calls.attach(kernel.context, first, 0, space)
    assert calls.attach(kernel.context, second, 0, space) == table
    assert destroy(kernel, table) == "EBUSY"
    kernel.context.detach(first, 0)
    assert destroy(kernel, table) == "EBUSY"
    kernel.context.detach(second, 0)
    assert destroy(kernel, table) == "ENOENT"
    assert destroy(kernel, space) == "ok"


def test_a_table_of_another_smmu_does_not_fit(kernel: Kernel) -> None:
    near, far = kernel.bind(A), kernel.bind(FAR)
    table = hwpt(kernel, near.id, ioas(kernel))
    with pytest.raises(KernelError, match="EINVAL"):
        calls.attach(kernel.context, far, 0, table)


def test_a_guest_translation_needs_the_stream_id_and_bypass_does_not(kernel: Kernel) -> None:
    device = kernel.bind(A)
    virtual = viommu(kernel, device.id, hwpt(kernel, device.id, ioas(kernel), NEST))
    bypass, translate = (
        nested(kernel, device.id, virtual, 1 | 4 << 1, 0),
        nested(kernel, device.id, virtual, 0xB, 0),
    )
    assert calls.attach(kernel.context, device, 0, bypass) == bypass
    with pytest.raises(KernelError, match="ENOENT"):
        calls.attach(kernel.context, device, 0, translate)
    argument = nesting.iommu_vdevice_alloc(viommu_id=virtual, dev_id=device.id, virt_id=0x100)
    kernel.call(nesting.IOMMU_VDEVICE_ALLOC, argument)
    assert calls.attach(kernel.context, device, 0, translate) == translate
    assert kernel.errno(nesting.IOMMU_VDEVICE_ALLOC, argument) == "EEXIST"


@pytest.mark.parametrize(
    ("first", "second"),
    [(1 | 1 << 1, 0), (1 | 7 << 1, 0), (1 | 1 << 52, 0), (1, 1 << 40), (1, 2 << 28), (1, 3 << 28)],
)
def test_an_entry_with_bits_that_are_not_the_guests(kernel: Kernel, first: int, second: int) -> None:
    device = kernel.bind(A)
    virtual = viommu(kernel, device.id, hwpt(kernel, device.id, ioas(kernel), NEST))
    with pytest.raises(KernelError, match="EIO"):
        nested(kernel, device.id, virtual, first, second)


@pytest.mark.parametrize(
    ("told", "stages", "parent", "virtual"),
    [
        (1, 3, "ok", "ok"),
        (0, 3, "ok", "EOPNOTSUPP"),
        (0, 1, "EOPNOTSUPP", ""),
        (None, 3, "ok", "ok"),
        (None, 2, "EOPNOTSUPP", ""),
    ],
)
def test_nesting_is_what_the_facts_say(told: int | None, stages: int, parent: str, virtual: str) -> None:
    words = {name: RegisterFact(word, "made") for name, word in WORDS.as_dict().items()}
    words["IDR0"] = RegisterFact(f"{WORDS.idr0 & ~3 | stages:#x}", "made")
    more = {} if told is None else {"nesting": fact(told)}
    kernel = Kernel(host(registers=words, **more))
    device = kernel.bind(A).id
    argument = iommufd.iommu_hwpt_alloc(dev_id=device, pt_id=ioas(kernel), flags=NEST)
    assert kernel.errno(iommufd.IOMMU_HWPT_ALLOC, argument) == parent
    if virtual:
        made = nesting.iommu_viommu_alloc(type=1, dev_id=device, hwpt_id=3)
        assert kernel.errno(nesting.IOMMU_VIOMMU_ALLOC, made) == virtual


def test_a_viommu_needs_a_nesting_parent_of_the_same_smmu(kernel: Kernel) -> None:
    near, far, space = kernel.bind(A).id, kernel.bind(FAR).id, ioas(kernel)
    plain, parent = hwpt(kernel, near, space), hwpt(kernel, near, space, NEST)

    def answer(device: int, table: int, kind: int = 1) -> str:
        return kernel.errno(
            nesting.IOMMU_VIOMMU_ALLOC, nesting.iommu_viommu_alloc(type=kind, dev_id=device, hwpt_id=table)
        )

    assert answer(near, plain) == "EINVAL"
    assert answer(far, parent) == "EINVAL"
    assert answer(near, space) == "ENOENT"
    assert answer(99, parent) == "ENOENT"
    assert [answer(near, parent, kind) for kind in (0, 2, 99)] == ["EOPNOTSUPP"] * 3
    assert answer(near, parent) == "ok"


def test_closing_everything_leaves_nothing(kernel: Kernel) -> None:
    device = kernel.bind(A)
    virtual = viommu(kernel, device.id, hwpt(kernel, device.id, ioas(kernel), NEST))
    kernel.call(nesting.IOMMU_VDEVICE_ALLOC, nesting.iommu_vdevice_alloc(viommu_id=virtual, dev_id=device.id))
    calls.attach(kernel.context, device, 0, nested(kernel, device.id, virtual, 0xB, 0))
    kernel.context.close()
    # The bound device keeps the context, as it does in the kernel.
    assert len(kernel.context.objects) == 6
    kernel.context.unbind(device)
    assert not kernel.context.objects


def test_an_event_queue_is_a_descriptor_and_there_is_one_of_a_kind(kernel: Kernel) -> None:
    import os

    device = kernel.bind(A).id
    virtual = viommu(kernel, device, hwpt(kernel, device, ioas(kernel), NEST))
    argument = nesting.iommu_veventq_alloc(viommu_id=virtual, type=1, veventq_depth=8)
    answer = kernel.call(nesting.IOMMU_VEVENTQ_ALLOC, argument)
    assert answer.out_veventq_fd == 101
    with pytest.raises(BlockingIOError):
        os.read(kernel.given[0], 64)
    assert kernel.errno(nesting.IOMMU_VEVENTQ_ALLOC, argument) == "EEXIST"
    assert destroy(kernel, answer.out_veventq_id) == "ok"
    assert os.read(kernel.given[0], 64) == b""
    os.close(kernel.given[0])
    argument.veventq_depth = 0
    assert kernel.errno(nesting.IOMMU_VEVENTQ_ALLOC, argument) == "EINVAL"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (0x10, "ok"),
        (0x12, "ok"),
        (0x30, "ok"),
        (0x05 | 7 << 32, "ok"),
        (0x05 | 8 << 32, "EIO"),
        (0x46, "EIO"),
    ],
)
def test_invalidation_takes_a_guests_commands(kernel: Kernel, command: int, answer: str) -> None:
    device = kernel.bind(A).id
    virtual = viommu(kernel, device, hwpt(kernel, device, ioas(kernel), NEST))
    kernel.call(
        nesting.IOMMU_VDEVICE_ALLOC, nesting.iommu_vdevice_alloc(viommu_id=virtual, dev_id=device, virt_id=7)
    )
    for index, word in enumerate((0x11, command, 0x11)):
        kernel.memory.write(DATA + 16 * index, word.to_bytes(8, "little") + bytes(8))
    argument = nesting.iommu_hwpt_invalidate(
        hwpt_id=virtual, data_uptr=DATA, data_type=1, entry_len=16, entry_num=3
    )
    assert kernel.errno(nesting.IOMMU_HWPT_INVALIDATE, argument) == answer
    back = kernel.memory.read(FakeMemory.BASE, ctypes.sizeof(argument))
    # How many were good comes back also when one was not.
    assert nesting.iommu_hwpt_invalidate.from_buffer_copy(back).entry_num == (3 if answer == "ok" else 1)


def test_address_ranges_are_told_in_two_calls(kernel: Kernel) -> None:
    space = ioas(kernel)
    hwpt(kernel, kernel.bind(A).id, space)
    argument = iommufd.iommu_ioas_iova_ranges(ioas_id=space)
    assert kernel.errno(iommufd.IOMMU_IOAS_IOVA_RANGES, argument) == "EMSGSIZE"
    back = kernel.memory.read(FakeMemory.BASE, ctypes.sizeof(argument))
    assert iommufd.iommu_ioas_iova_ranges.from_buffer_copy(back).num_iovas == 2
    argument.num_iovas, argument.allowed_iovas = 2, DATA
    assert kernel.call(iommufd.IOMMU_IOAS_IOVA_RANGES, argument).out_iova_alignment == 4096
    last = int.from_bytes(kernel.memory.read(DATA + 24, 8), "little")
    assert last == (1 << 48) - 1


def test_command_queues_where_the_facts_have_them() -> None:
    kernel = Kernel(host(cmdqv=fact(1)))
    device = kernel.bind(A).id
    parent = hwpt(kernel, device, ioas(kernel), NEST)
    argument = nesting.iommu_viommu_alloc(type=2, dev_id=device, hwpt_id=parent, data_len=16, data_uptr=DATA)
    virtual = kernel.call(nesting.IOMMU_VIOMMU_ALLOC, argument).out_viommu_id
    queue = nesting.iommu_hw_queue_alloc(viommu_id=virtual, type=1, index=0, length=4096)
    assert kernel.errno(nesting.IOMMU_HW_QUEUE_ALLOC, queue) == "ok"
    assert kernel.errno(nesting.IOMMU_HW_QUEUE_ALLOC, queue) == "EEXIST"
    queue.index = 2
    assert kernel.errno(nesting.IOMMU_HW_QUEUE_ALLOC, queue) == "EINVAL"


def test_queues_that_the_kernel_offers_and_does_not_give() -> None:
    kernel = Kernel(host(cmdqv=fact(1), cmdqv_viommu=fact(0)))
    device = kernel.bind(A).id
    parent = hwpt(kernel, device, ioas(kernel), NEST)
    argument = nesting.iommu_viommu_alloc(type=2, dev_id=device, hwpt_id=parent, data_len=16, data_uptr=DATA)
    assert kernel.errno(nesting.IOMMU_VIOMMU_ALLOC, argument) == "EOPNOTSUPP"
    argument.type = nesting.IOMMU_VIOMMU_TYPE_ARM_SMMUV3
    assert kernel.errno(nesting.IOMMU_VIOMMU_ALLOC, argument) == "ok"


def structures() -> list[tuple[int, int, int]]:
    rows = calls.OPERATIONS.items()
    return [(number, row.least, ctypes.sizeof(row.structure)) for number, row in rows]


@pytest.mark.parametrize(("number", "least", "size"), structures())
def test_every_call_judges_its_size_as_the_kernel_does(
    kernel: Kernel, number: int, least: int, size: int
) -> None:
    memory, base = kernel.memory, FakeMemory.BASE

    def answer(told: int, beyond: bytes = b"") -> str:
        memory.write(base, told.to_bytes(4, "little") + bytes(size - 4) + beyond)
        try:
            calls.call(
                kernel.context,
                number,
                base,
                kernel.caller,
                CallRecord(),
            )
        except KernelError as error:
            return str(error)
        return "ok"

    assert answer(least - 1) == "EINVAL"
    plain = answer(least)
    assert answer(size + 8, bytes(8)) == plain
    assert answer(size + 8, b"\1" + bytes(7)) == "E2BIG"
    with pytest.raises(KernelError, match="EFAULT"):
        calls.call(kernel.context, number, 0, kernel.caller, CallRecord())


def test_unknown_calls_are_enotty(kernel: Kernel) -> None:
    for number in (0x3B70, 0x3B82, 0x3B88, 0x3B95, 0x3B96, 0x3BF0):
        assert kernel.errno(number, iommufd.iommu_destroy()) == "ENOTTY"


def act(kernel: Kernel, bound: list[DeviceObject], action: str, first: int, second: int) -> None:
    """One action of the test below, with whatever numbers."""
    if action == "bind" and len(bound) < 2:
        bound.append(kernel.bind((A, FAR)[len(bound)]))
    elif action == "attach" and bound:
        calls.attach(kernel.context, bound[-1], 0, first)
    elif action == "unbind" and bound:
        kernel.context.unbind(bound.pop())
    elif action == "vdevice":
        argument = nesting.iommu_vdevice_alloc(viommu_id=first, dev_id=second, virt_id=1)
        kernel.call(nesting.IOMMU_VDEVICE_ALLOC, argument)
    elif action in SIMPLE:
        SIMPLE[action](kernel, first, second)


SIMPLE = {
    "ioas": lambda kernel, *_: ioas(kernel),
    "hwpt": lambda kernel, first, second: hwpt(kernel, first, second, NEST),
    "viommu": viommu,
    "nested": lambda kernel, first, second: nested(kernel, first, second, 1, 0),
    "destroy": lambda kernel, first, _: destroy(kernel, first),
}
ACTIONS = [*SIMPLE, "bind", "attach", "unbind", "vdevice"]


@given(
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 8), st.integers(1, 8)), max_size=40)
)
def test_no_sequence_breaks_the_references(actions: list[tuple[str, int, int]]) -> None:
    """Whatever is called, counts are those of the references that there are, and the end leaves nothing."""
    kernel = Kernel()
    bound: list[DeviceObject] = []
    for action, first, second in actions:
        with suppress(KernelError):
            act(kernel, bound, action, first, second)
        objects = list(kernel.context.objects.values())
        for entry in objects:
            assert entry.users == sum(other.uses.count(entry) for other in objects)
    kernel.context.close()
    for device in bound:
        kernel.context.unbind(device)
    assert not kernel.context.objects


def test_hw_info_reports_the_function(kernel: Kernel) -> None:
    for address, pasid, capabilities in ((A, 16, 1), (B, 0, 8)):
        argument = hw_info.iommu_hw_info(dev_id=kernel.bind(address).id, data_len=40, data_uptr=DATA)
        answer = kernel.call(hw_info.IOMMU_GET_HW_INFO, argument)
        assert (answer.out_data_type, answer.out_max_pasid_log2, answer.out_capabilities) == (
            2,
            pasid,
            capabilities,
        )
        info = hw_info.iommu_hw_info_arm_smmuv3.from_buffer_copy(kernel.memory.read(DATA, 40))
        assert list(info.idr) == [0x0D44141B, 0x02730510, 0, 0x1414, 0, 0x75]
        assert (info.iidr, info.aidr) == (0x43B, 1)


@pytest.mark.parametrize(("kind", "length"), [(0, 0), (1, 24), (4, 16), (77, 0)])
def test_other_iommus_answer_their_type(kind: int, length: int) -> None:
    kernel = Kernel(host(hw_info_type=fact(kind)))
    argument = hw_info.iommu_hw_info(dev_id=kernel.bind(A).id, data_len=40, data_uptr=DATA)
    answer = kernel.call(hw_info.IOMMU_GET_HW_INFO, argument)
    assert (answer.out_data_type, answer.data_len) == (kind, length)
