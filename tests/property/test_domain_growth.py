# SPDX-License-Identifier: Apache-2.0
"""What is added to a domain: the same by plan and hook, whatever else its text contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import domain
from examples import Q11_1, function, host, smmu
from implicit_domains import RNG, at, controller, disk
from vsmmu.errors import Negative
from vsmmu.kubevirt.create import create_vsmmus
from vsmmu.machine.domain.document import DomainXml, read_domain_xml
from vsmmu.machine.domain.elements import Element, parse
from vsmmu.machine.domain.spans import extent_of
from vsmmu.plan.domain import next_index
from vsmmu.plan.libvirt import devices_xml
from vsmmu.plan.planner import Order, plan
from vsmmu.policy.resolver import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host

_CELL = "<cell id='{0}' cpus='{0}' memory='1'/>"
CELLS = f"<cpu mode='host-passthrough'><numa>{_CELL.format(0)}{_CELL.format(1)}</numa></cpu>"
TUNE = "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>"


class Case(NamedTuple):
    """A host, functions of it, a domain without them, and the same domain with them as plain host devices."""

    facts: Host
    functions: tuple[str, ...]
    bare: DomainXml
    given: DomainXml


def _hostdev(address: str, place: str) -> str:
    segment, bus, _ = address.split(":")
    source = f"<source><address domain='0x{segment}' bus='0x{bus}' slot='0x00' function='0x0'/></source>"
    return f"<hostdev mode='subsystem' type='pci' managed='yes'>{source}{place}</hostdev>"


@st.composite
def _hosts(draw: st.DrawFn) -> Host:
    """Up to four SMMUs, some on a NUMA node, and up to ten functions behind them."""
    nodes = draw(st.lists(st.sampled_from([None, 0, 1]), min_size=1, max_size=4))
    smmus = [
        msgspec.structs.replace(smmu(f"smmu{number}"), numa_node=node) for number, node in enumerate(nodes)
    ]
    places = draw(st.lists(st.integers(0, len(smmus) - 1), min_size=1, max_size=10))
    functions = [function(f"{place:04x}:{n + 1:02x}:00.0", f"smmu{place}") for n, place in enumerate(places)]
    return host(*smmus, *functions)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    facts = draw(_hosts())
    functions = tuple(entry.address for entry in facts.functions)
    controllers = []
    for index in draw(st.lists(st.integers(1, 12), max_size=4, unique=True)):
        number = draw(st.integers(2, 250))
        expander = controller(index, "pcie-expander-bus", f"<target busNr='{number}'/>")
        controllers.append(draw(st.sampled_from([controller(index, "pcie-root-port"), expander])))
    others = [disk("vda"), disk("vdb", at(draw(st.integers(14, 20)))), RNG.format(""), ""]
    more = "".join(draw(st.lists(st.sampled_from(others), max_size=3, unique=True)))
    places = [draw(st.sampled_from(["", at(0, 20 + n), at(13 + n)])) for n in range(len(functions))]
    hostdevs = [_hostdev(address, place) for address, place in zip(functions, places, strict=True)]
    parts = {
        "uuid": draw(st.sampled_from(["", TUNE])),
        "cpu": draw(st.sampled_from(["", CELLS])),
        "expander": "".join(controllers),
        "port": "",
        "iommu": "",
        "more": more,
    }
    bare, with_them = domain(**parts, hostdev=""), domain(**parts, hostdev="".join(hostdevs))
    return Case(facts, functions, read_domain_xml(bare, "bare"), read_domain_xml(with_them, "given"))


def _shape(element: Element) -> tuple[object, ...]:
    children = tuple(_shape(child) for child in element.children)
    return (element.name, tuple(sorted(element.attributes.items())), element.text, children)


def _added(devices: Element, first_index: int) -> list[tuple[object, ...]]:
    """Controllers from an index on, and the SMMUs."""
    return [
        _shape(child)
        for child in devices.children
        if child.name == "iommu"
        or (child.name == "controller" and int(child.get("index", "0")) >= first_index)
    ]


def _places(devices: Element) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Host device -> its guest address and whether it uses iommufd."""
    return {
        _shape(entry.all("source").__next__()): (
            entry.value("driver", "iommufd"),
            *(entry.value("address", name) for name in ("type", "bus", "slot", "function")),
        )
        for entry in devices.all("hostdev")
    }


def _planned(case: Case) -> Element | str:
    try:
        answer = plan(Order(case.functions, domain=case.bare), case.facts, Q11_1)
    except Negative as error:
        return error.code
    text = devices_xml(answer, next_index(case.bare))
    return next(parse(f"<domain>{text}</domain>".encode(), "planned").all("devices"))


def _created(case: Case) -> Element | str:
    """As the hook does it: create, then resolve."""
    try:
        resolution = resolve(create_vsmmus(case.given, case.facts), case.facts, Q11_1)
        resolution.require()
    except Negative as error:
        return error.code
    assert resolution.vm is not None
    return next(parse(resolution.vm.render(), "created").all("devices"))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_hook_and_plan_add_the_same_elements(case: Case) -> None:
    planned, created = _planned(case), _created(case)
    if isinstance(planned, str) or isinstance(created, str):
        assert planned == created
        return
    first = next_index(case.bare)
    assert _added(created, first) == _added(planned, 1)
    assert _places(created) == _places(planned)


# --- whatever else the text contains ------------------------------------------------------------------------

WITH_DRIVER = _hostdev("0001:02:00.0", at(0, 4)).replace("<source>", "<driver name='vfio'/><source>")
PLAIN = read_domain_xml(
    domain(
        expander="",
        port="",
        iommu="<iommu model='smmuv3'><driver pciBus='9'/></iommu>",
        more="",
        hostdev=_hostdev("0000:01:00.0", "") + WITH_DRIVER,
    ),
    "plain",
)
FACTS = host(
    smmu("smmu0"), smmu("smmu1"), function("0000:01:00.0", "smmu0"), function("0001:02:00.0", "smmu1")
)
_TRAPS = ("</source>", "<source/>", "</devices>", "<hostdev>", "'", '"', "/>", ">", "<", "&", "\n  ", "é")
_TEXT = st.lists(st.sampled_from(_TRAPS), max_size=4).map("".join)
NOISE = st.one_of(
    st.sampled_from(["", "", "", "\n", "\r\n\t "]),
    _TEXT.map("<!-- {} -->".format),
    _TEXT.map("<?trap {}?>".format),
    _TEXT.map("<![CDATA[{}]]>".format),
)
BLANKS = st.sampled_from([" ", "  ", "\n", "\t \r\n"])


def _attribute(name: str, value: str, draw: st.DrawFn) -> str:
    quote = draw(st.sampled_from("'\""))
    equals = draw(st.sampled_from(["=", " = ", "=\n"]))
    return f"{draw(BLANKS)}{name}{equals}{quote}{value}{quote}"


def _written(element: Element, draw: st.DrawFn, noise: list[str]) -> Iterator[str]:
    """An element as somebody might write it, with noise before each child and at the end."""
    attributes = dict(element.attributes)
    if draw(st.booleans()):
        attributes["trap"] = "/> </source>".replace("<", "&lt;")
    yield f"<{element.name}"
    yield from (_attribute(name, value, draw) for name, value in attributes.items())
    end = draw(st.sampled_from(["", " ", "\n"]))
    if not element.children and not element.text and draw(st.booleans()):
        yield f"{end}/>"
        return
    yield f"{end}>{element.text}"
    # In a leaf, character data would be its value.
    for child in element.children:
        noise.append(draw(NOISE))
        yield noise[-1]
        yield from _written(child, draw, noise)
    if element.children:
        noise.append(draw(NOISE))
        yield noise[-1]
    yield f"</{element.name}{end}>"


@st.composite
def noisy(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    noise: list[str] = []
    text = "".join(_written(PLAIN.root, draw, noise))
    return text.encode(), noise


def _bare(element: Element) -> tuple[object, ...]:
    attributes = {name: value for name, value in element.attributes.items() if name != "trap"}
    text = "" if element.children else element.text
    return (
        element.name,
        tuple(sorted(attributes.items())),
        text,
        tuple(_bare(child) for child in element.children),
    )


CLEAN = _bare(create_vsmmus(PLAIN, FACTS).root)


@given(noisy())
@settings(max_examples=200, deadline=None)
def test_nothing_in_the_text_confuses_it(case: tuple[bytes, list[str]]) -> None:
    data, noise = case
    grown = create_vsmmus(read_domain_xml(data, "noisy"), FACTS)
    assert _bare(grown.root) == CLEAN
    at = 0
    for text in noise:
        at = grown.data.index(text.encode(), at) + len(text.encode())


@given(noisy())
@settings(max_examples=200, deadline=None)
def test_an_extent_is_the_element_and_nothing_else(case: tuple[bytes, list[str]]) -> None:
    data, _ = case
    pending = [parse(data, "noisy")]
    while pending:
        element = pending.pop()
        extent = extent_of(data, element)
        again = parse(b"<domain>" + data[extent.start : extent.end] + b"</domain>", "alone").children
        assert [_shape(entry) for entry in again] == [_shape(element)]
        assert extent.empty == (data[extent.end - 2 : extent.end] == b"/>" and extent.inner == extent.end)
        pending += element.children
