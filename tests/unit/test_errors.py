# SPDX-License-Identifier: Apache-2.0
"""Errors: exit statuses, one line for people, all parts for programs."""

from __future__ import annotations

import json

import pytest

from vsmmu.cli.documents import error_document
from vsmmu.diagnostic import SEVERITIES, Diagnostic, by_severity
from vsmmu.document import encode_document
from vsmmu.errors import (
    EXIT_BUG,
    HostLacks,
    InputRefused,
    Negative,
    PermissionRefused,
    UsageError,
    VsmmuError,
)

STATUSES = {Negative: 1, UsageError: 2, InputRefused: 3, PermissionRefused: 4, HostLacks: 5}


@pytest.mark.parametrize(
    ("kind", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_the_kind_of_error_is_the_exit_status(kind: type[VsmmuError], status: int) -> None:
    assert kind("some-code", "something").exit_status == status


def test_every_kind_has_a_status_of_its_own() -> None:
    # Packages may derive kinds of their own (LabFailed); the tests before decide which of them are loaded.
    kinds = {kind for kind in VsmmuError.__subclasses__() if kind.__module__ == VsmmuError.__module__}
    assert kinds == set(STATUSES)
    assert VsmmuError("some-code", "something").exit_status == EXIT_BUG


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ({}, "it failed [some-code]"),
        ({"where": "line 3"}, "line 3: it failed [some-code]"),
        ({"why": "no memory"}, "it failed: no memory [some-code]"),
        ({"next": "try again"}, "it failed [some-code]\n  next: try again"),
        (
            {"where": "line 3", "why": "no memory", "next": "try again"},
            "line 3: it failed: no memory [some-code]\n  next: try again",
        ),
    ],
)
def test_an_error_says_what_where_why_and_what_next(parts: dict[str, str], shown: str) -> None:
    assert str(Negative("some-code", "it failed", **parts)) == shown


def test_programs_get_every_part_under_its_name() -> None:
    error = InputRefused("some-code", "it failed", where="line 3", why="no memory", next="try again")
    assert json.loads(encode_document(error_document(error))) == {
        "schema": "vsmmu.error/1",
        "code": "some-code",
        "what": "it failed",
        "where": "line 3",
        "why": "no memory",
        "next": "try again",
        "severity": "error",
        "needs": [],
        "fix": [],
        "exit_status": 3,
    }


def test_an_error_carries_its_diagnosis() -> None:
    found = Diagnostic("some-code", "it failed", needs=("IDR5.OAS",))
    assert Negative.of(found).diagnostic is found
    assert str(Negative.of(found)) == str(found)


def test_the_worst_comes_first() -> None:
    mixed = [
        Diagnostic(str(number), "", severity=severity) for number, severity in enumerate(SEVERITIES[::-1])
    ]
    assert [entry.severity for entry in by_severity(mixed)] == list(SEVERITIES)
    assert [entry.code for entry in by_severity([Diagnostic("b", ""), Diagnostic("a", "")])] == ["b", "a"]
