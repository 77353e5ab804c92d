"""Read damaged copies of files, and report what that cost: `python fuzz.py SECONDS SEED FOLDER FILE ...`."""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from avsgn_pyg.features.media import Limits, MediaError, probe, read_seconds, source

#: The most seconds that are read of a file.
COUNT = 5


def damaged(data: bytes, seed: int) -> bytes:
    """Overwrite or cut bytes: in the header in half of the cases, anywhere in the others."""
    chance, spoiled = random.Random(seed), bytearray(data)
    reach = len(data) if seed % 2 else min(len(data), 2_000)
    for _ in range(chance.choice((1, 3, 20))):
        place = chance.randrange(reach)
        new = chance.choice((bytes([chance.randrange(256)]), b"\xff" * 4, bytes(8), b"\x7f\xff\xff\xff"))
        spoiled[place : place + len(new)] = new
    return bytes(spoiled[: chance.randrange(reach, len(data) + 1)] if seed % 7 == 0 else spoiled)


def cost(path: Path) -> dict[str, int | str]:
    """Read a file; return the packets and bytes that were read, the seconds that it has, and those that were made."""
    found, plain = {"packets": 0, "bytes": 0, "seconds": 0, "made": 0}, source.packets

    def counted(*arguments) -> Iterator:
        for packet in plain(*arguments):
            found["packets"] += 1
            found["bytes"] += packet.size
            yield packet

    source.packets, limits = counted, Limits(deadline=10)
    try:
        found["seconds"] = probe(path, limits=limits).seconds
        found["made"] = sum(1 for _ in read_seconds(path, count=COUNT, limits=limits))
    except MediaError as error:
        found["error"] = str(error)
    finally:
        source.packets = plain
    return found


def main(seconds: float, seed: int, folder: Path, clips: list[Path]) -> dict[str, float | list]:
    """Damage and read the files in turn; return the number read, the memory (GiB), and the worst of each kind."""
    good = {clip: cost(clip) for clip in clips}
    worst = {"packets": [0], "bytes": [0], "seconds": [0], "time": [0], "made": [0]}
    begun, first, memory, refused = time.monotonic(), seed, peak(), []
    while time.monotonic() - begun < seconds:
        clip = clips[seed % len(clips)]
        path = folder / f"damaged{clip.suffix}"
        path.write_bytes(damaged(clip.read_bytes(), seed))
        started = time.monotonic()
        found = cost(path) | {"time": time.monotonic() - started}
        found |= {name: found[name] / good[clip][name] for name in ("packets", "bytes")}
        worst = {name: max(value, [found[name], seed, clip.suffix]) for name, value in worst.items()}
        if "error" in found:
            refused.append(found["error"].startswith(f"{path}: "))
        seed += 1
    return {"files": seed - first, "refused": len(refused), "named": sum(refused), "gib": peak() - memory, **worst}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), [*map(Path, sys.argv[4:])])))
