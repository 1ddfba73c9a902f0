"""Damaged bytes: what disks, networks and people make of a file."""


def mutant(data, draw):
    """Return a copy of `data` with one change, drawn from a `random.Random`."""
    changed = bytearray(data)
    while bytes(changed) == data:
        start = draw.randrange(len(data))
        stop = min(start + draw.choice([1, 1, 4, 32, 400]), len(data))
        kind = draw.randrange(6)
        if kind == 0:
            changed[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[start:stop] = draw.randbytes(stop - start)
        elif kind == 2:
            del changed[start:stop]
        elif kind == 3:
            changed[start:start] = draw.randbytes(stop - start)
        elif kind == 4:
            changed[start:stop] = bytes(stop - start)
        else:
            other = draw.randrange(len(data))
            changed[start:stop] = data[other : other + stop - start]
    return bytes(changed)
