#!/usr/bin/env python3
"""A small relocator, as one writes it in an afternoon: reads instructions, answers with code for a slot.

    ubp-verify relocator --command 'python3 examples/relocators/small.py' 50-5f 70-7f eb
    ubp-verify relocator --command 'python3 examples/relocators/small.py --faulty' 70-7f eb

It knows one-byte instructions without ModRM, short jumps and conditions.  `--faulty` is the first version, which moves
a short jump by the wrong distance; `ubp-verify` shows the state in which that leads elsewhere.
"""

import json
import sys

FAULTY = "--faulty" in sys.argv
PLAIN = {*range(0x50, 0x60), 0x90, 0x98, 0x99, 0xC3, 0xC9, *range(0xF8, 0xFE)} - {0xFA, 0xFB}


def jump(target: int, at: int) -> bytes:
    """jmp rel32 at an address."""
    return b"\xe9" + ((target - at - 5) % 2**32).to_bytes(4, "little")


def relocated(data: bytes, origin: int, slot: int) -> bytes | None:
    behind = origin + len(data)
    if len(data) == 1 and data[0] in PLAIN:
        return data + jump(behind, slot + 1)
    if len(data) != 2 or not (data[0] == 0xEB or 0x70 <= data[0] <= 0x7F):
        return None
    target = (origin if FAULTY else behind) + int.from_bytes(data[1:], "little", signed=True)
    if data[0] == 0xEB:
        return jump(target, slot)
    return bytes([data[0], 5]) + jump(behind, slot + 2) + jump(target, slot + 7)


for line in sys.stdin:
    asked = json.loads(line)
    code = relocated(bytes.fromhex(asked["bytes"]), asked["origin"], asked["slot"])
    sys.stdout.write(json.dumps({"refused": "not known"} if code is None else {"code": code.hex()}) + "\n")
    sys.stdout.flush()
