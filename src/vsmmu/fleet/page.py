# SPDX-License-Identifier: Apache-2.0
"""A report as one self-contained HTML page.

Everything is in the page, and the page asks for nothing: no font, no image, no script from elsewhere. Its
Content-Security-Policy allows exactly the one style sheet and the one script that are written into it, by
hash. The script only sorts and searches; without it everything can be read.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from vsmmu.fleet.capability import KEYS
from vsmmu.picture.host import host_picture
from vsmmu.picture.svg import STYLE, svg
from vsmmu.smmuv3.fields import FIELDS
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES
from vsmmu.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vsmmu.fleet.documents import Answer, ReportClass, ReportDocument
    from vsmmu.host.facts import Host

__all__ = ["page"]

#: Columns of the matrix of fields; more classes than this are listed but not set side by side.
_MOST_COLUMNS: Final = 40
#: Answer -> what the page says of such hosts.
_WORDS: Final[Mapping[Answer, str]] = {
    "starts": "proven",
    "unknown": "not proven",
    "refused": "refused",
    "absent": "without",
}
#: Properties that count bits.
_IN_BITS: Final = frozenset({"oas", "ssidsize"})


def page(report: ReportDocument, topologies: Sequence[Host]) -> str:
    """The page.

    :param topologies: the hosts to draw; :attr:`ReportHost.topology` counts in them.
    """
    environment = Environment(
        loader=FunctionLoader(_source),  # not PackageLoader: for it, what cannot be read is not there
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(STYLE + _source("report.css"))  # noqa: S704 - our own rules
    script = Markup(_source("report.js"))  # noqa: S704 - our own file
    return environment.get_template("report.html.j2").render(
        report=report,
        properties=[entry.name for entry in REGISTER_PROPERTIES],
        keys=KEYS,
        words=_WORDS,
        called={entry.kind: entry.name for entry in report.classes},
        unit=lambda name, value: f"{value} bits" if name in _IN_BITS and value[-1:].isdigit() else value,
        title=lambda key: FIELDS[key].title if key in FIELDS else "",
        shown=report.classes[:_MOST_COLUMNS],
        matrix=lambda key: [_cell(entry, key) for entry in report.classes[:_MOST_COLUMNS]],
        pictures=[(host, _picture(host)) for host in topologies],
        has_pools=any(pool.pool for pool in report.pools),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _shown(value: object) -> object:
    """Names and titles are other people's: what a browser would act on, or not show, is an escape."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(entry: ReportClass, key: str) -> str:
    """The values of one field over the kinds of SMMU of a class, as what their codes mean."""
    texts = dict.fromkeys(fields[key] for fields in entry.fields)
    return " / ".join("..".join(_meaning(key, code) for code in text.split("..")) for text in texts) or "-"


def _meaning(key: str, code: str) -> str:
    if not code.isdecimal() or key == "hw_info_type":
        return code
    return FIELDS[key].spell(int(code)) if key in FIELDS else "yes" if int(code) else "no"


def _source(name: str) -> str:
    """A file of ours.

    :raise OSError: as the kernel says.
    """
    return files("vsmmu.fleet").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    """What Content-Security-Policy calls an inline text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _picture(host: Host) -> Markup:
    """The host as inline SVG; :func:`svg` escapes every text that it draws."""
    document = svg(host_picture(host), f"{host.name}: SMMUs and the functions behind them", alone=False)
    return Markup(document.partition("?>\n")[2])  # noqa: S704 - see above
