# SPDX-License-Identifier: Apache-2.0
"""Count a fleet: hosts by class and pool, with sample names, and drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from vsmmu.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vsmmu.errors import VsmmuError
    from vsmmu.fleet.records import Record

__all__ = ["ALL", "Census", "Group", "Move", "Rejects", "check_pool", "pool_key"]

#: The name of the pool of all hosts, where nobody asked for pools.
ALL: Final = ""
#: The pool of hosts that do not say to which they belong.
_UNSAID: Final = "?"
_KNOWN_KEYS: Final = ("kernel", "title", "source")
_MOST_POOLS: Final = 10_000
_MOST_EXAMPLES: Final = 20


class Move(NamedTuple):
    """Hosts were of one class and are of another: positions of both in the reader's classes."""

    before: int
    after: int


_Key = TypeVar("_Key", int, Move)


class Group:
    """The hosts of one class in one pool: how many, and of the first their names and topologies."""

    __slots__ = ("count", "names", "topologies")

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []
        self.topologies: list[int] = []


class Rejects:
    """Records that could not be used: how many, and what was wrong with the first."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, error: VsmmuError) -> None:
        """Note one."""
        self.count += 1
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(str(error).partition("\n")[0])


class Census:
    """Counts records; memory does not grow with their number (but see ``before`` and ``latest``).

    :param pool_of: the pool of a record, see :func:`pool_key`.
    :param keep: how many names to keep for each class and pool.
    :param before: earlier class of each host by name, to see what moved.
    :param latest: of several records of one host count only that with the latest ``taken_at``; this keeps
        every name in memory.
    """

    def __init__(
        self,
        pool_of: Callable[[Record, str], str],
        keep: int = 20,
        before: Mapping[str, int] | None = None,
        *,
        latest: bool = False,
    ) -> None:
        self.pools: dict[str, dict[int, Group]] = {}
        self.moves: dict[Move, Group] = {}
        #: Some title of the hosts of each class.
        self.titles: dict[int, str] = {}
        self.records = 0
        self.replaced = 0
        self.rejects = Rejects()
        self._pool_of = pool_of
        self._keep = keep
        self._before = before
        self._latest: dict[str, tuple[str, str, int]] | None = {} if latest else None

    @property
    def takes_latest(self) -> bool:
        """Whether a record can take the place of an earlier one."""
        return self._latest is not None

    def empty(self) -> Census:
        """A census that counts as this one does, and has counted nothing."""
        return Census(self._pool_of, self._keep, self._before, latest=self.takes_latest)

    def merge(self, other: Census, kinds: Sequence[int], topologies: Sequence[int]) -> None:
        """Add what another census counted of records that come after those of this one.

        :param kinds: the position here of each class that the other one counted.
        :param topologies: likewise of each topology; -1 if it has none.
        :raise InputRefused: ``too-many-pools``.
        """
        for kind, title in other.titles.items():
            self.titles.setdefault(kinds[kind], title)
        for name, groups in other.pools.items():
            mine = self._pool(name)
            for kind, group in groups.items():
                self._join(mine.setdefault(kinds[kind], Group()), group, topologies)
        for move, group in other.moves.items():
            here = Move(kinds[move.before], kinds[move.after])
            self._join(self.moves.setdefault(here, Group()), group, topologies)
        self.records += other.records
        self.rejects.count += other.rejects.count
        self.rejects.examples = [*self.rejects.examples, *other.rejects.examples][:_MOST_EXAMPLES]

    def _join(self, mine: Group, other: Group, topologies: Sequence[int]) -> None:
        mine.count += other.count
        mine.names = [*mine.names, *other.names][: self._keep]
        shapes = [shape if shape < 0 else topologies[shape] for shape in other.topologies]
        mine.topologies = [*mine.topologies, *shapes][: self._keep]

    def __getstate__(self) -> dict[str, Any]:
        """For another process: what was counted."""
        return {**vars(self), "_pool_of": None, "_before": None}

    def add(self, record: Record, source: str) -> bool:
        """Count one record; False if a later one of this host is counted already.

        :raise InputRefused: ``too-many-pools``.
        """
        pool = self._pool_of(record, source)
        if self._latest is not None and not self._is_latest(record, pool):
            return False
        self.records += 1
        self._count(self._pool(pool), record.kind, record)
        if self._before is not None:
            earlier = self._before.get(record.name, record.kind)
            if earlier != record.kind:
                self._count(self.moves, Move(earlier, record.kind), record)
        return True

    def _pool(self, name: str) -> dict[int, Group]:
        groups = self.pools.get(name)
        if groups is None:
            if len(self.pools) >= _MOST_POOLS:
                raise InputRefused(
                    "too-many-pools",
                    f"there are more than {_MOST_POOLS} pools",
                    next="group by something that hosts share",
                )
            groups = self.pools[name] = {}
        return groups

    def _count(self, groups: dict[_Key, Group], key: _Key, record: Record) -> None:
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group()
            self.titles.setdefault(record.kind, record.title)
        group.count += 1
        if group.count <= self._keep:
            group.names.append(record.name)
            group.topologies.append(record.topology)

    def _is_latest(self, record: Record, pool: str) -> bool:
        assert self._latest is not None  # noqa: S101 - the caller asked
        known = self._latest.get(record.name)
        if known is not None:
            self.replaced += 1
            taken_at, old_pool, old_kind = known
            if record.taken_at < taken_at:
                return False
            self._take_back(old_pool, old_kind, record.name)
        self._latest[record.name] = (record.taken_at, pool, record.kind)
        return True

    def _take_back(self, pool: str, kind: int, name: str) -> None:
        groups = self.pools[pool]
        group = groups[kind]
        group.count -= 1
        self.records -= 1
        if name in group.names:
            at = group.names.index(name)
            del group.names[at], group.topologies[at]
        if not group.count:
            del groups[kind]


def pool_key(label: str | None) -> Callable[[Record, str], str]:
    """The function that says to which pool a record belongs.

    :param label: ``kernel``, ``title``, ``source`` (the argument or file that it came from) or the name of a
        label of the node; None puts all into one pool.
    """
    if label is None:
        return lambda _record, _source: ALL
    if label == "source":
        return lambda _record, source: source
    if label == "kernel":
        return lambda record, _source: record.kernel or _UNSAID
    if label == "title":
        return lambda record, _source: record.title or _UNSAID
    name: str = label
    return lambda record, _source: record.labels.get(name, _UNSAID)


def check_pool(census: Census, label: str | None) -> None:
    """Refuse a label that no host has: it is misspelt, or the facts came without the nodes' labels.

    :raise UsageError: ``no-such-pool``.
    """
    if label is None or label in _KNOWN_KEYS or set(census.pools) != {_UNSAID}:
        return
    from vsmmu.suggestion import did_you_mean

    meant = did_you_mean(label, _KNOWN_KEYS)
    raise UsageError(
        "no-such-pool",
        f"no host has a label {label!r:.80}",
        why="labels come with NodeFeatures, not with facts files",
        next=f"{meant}--pool takes {', '.join(_KNOWN_KEYS)}, or a label of the nodes",
    )
