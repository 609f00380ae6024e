# SPDX-License-Identifier: Apache-2.0
"""Fuzz one reader with atheris in this process, which ends with libFuzzer (``python -m fuzz.one NAME ...``).

Every module of vsmmu is instrumented, so inputs that reach new branches are kept and mutated on. The first
finding ends the process: an exception that is no own error, an input that takes too long, or too much memory.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys

import atheris  # type: ignore[import-untyped]

from fuzz.mutators import mutate_json, mutate_words

with atheris.instrument_imports(include=["vsmmu"]):
    import vsmmu

    # Also what is imported late, inside of functions: later, it would not be instrumented.
    for module in pkgutil.walk_packages(vsmmu.__path__, "vsmmu."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # grpcio is not here
                importlib.import_module(module.name)
    from fuzz.readers import READERS, takes

#: The number of inputs that were taken and not refused is written down this often.
_OFTEN = 256


def main() -> None:
    """NAME, then libFuzzer's own arguments."""
    name, *rest = sys.argv[1:]
    reader = READERS[name]
    scratch = os.environ["VSMMU_FUZZ_SCRATCH"]
    os.chdir(scratch)  # nothing that an input names lies here
    given = taken = 0

    def one(data: bytes) -> None:
        nonlocal given, taken
        taken += takes(reader, data)
        given += 1
        if given % _OFTEN == 0:
            with open("taken", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(str(taken))

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        """By bytes, as libFuzzer does, or by structure; often of a seed: branches inside C are not seen."""
        seeds = reader.seeds
        base = seeds[seed % len(seeds)] if seed & 1 else data
        if seed & 6 == 0:
            return bytes(atheris.Mutate(base, longest))
        changed = mutate_json(base, longest, seed) if reader.json else None
        return changed or mutate_words(base, seeds[-seed % len(seeds)], longest, seed)

    atheris.Setup([sys.argv[0], f"-max_len={reader.longest}", *rest], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
