"""Reads the registrations out of the executable: arrays of pointers in named sections, filled by relative relocations."""
import struct
from functools import lru_cache


class Elf:
    """A 64-bit little-endian position-independent executable."""

    def __init__(self, path):
        self.data = path.read_bytes()
        assert self.data[:6] == b"\x7fELF\x02\x01", f"{path} is no 64-bit little-endian ELF file"
        table, = struct.unpack_from("<Q", self.data, 0x28)
        size, count, names = struct.unpack_from("<HHH", self.data, 0x3A)
        raw = [struct.unpack_from("<IIQQQQIIQQ", self.data, table + i * size) for i in range(count)]
        strings = raw[names][4]
        self.sections = {self._text(strings + s[0]): s for s in raw}
        self.loaded = [s for s in raw if s[2] & 2 and s[1] != 8]  # allocated, with bytes in the file
        self.targets = {}
        for s in raw:
            if s[1] == 4:  # RELA
                for at in range(s[4], s[4] + s[5], 24):
                    place, info, addend = struct.unpack_from("<QQq", self.data, at)
                    if info >> 32 == 0:  # relative: no symbol
                        self.targets[place] = addend

    def _text(self, offset):
        return self.data[offset:self.data.index(b"\0", offset)].decode()

    def offset(self, address):
        for s in self.loaded:
            if s[3] <= address < s[3] + s[5]:
                return s[4] + address - s[3]
        raise ValueError(f"address {address:#x} is in no section")

    def string(self, place):
        """The string that the pointer at this address points to."""
        return self._text(self.offset(self.targets[place]))

    def registered(self, section):
        """Addresses of the structs that are registered in the section."""
        s = self.sections[section]
        return [self.targets[at] for at in range(s[3], s[3] + s[5], 8)]

    def names(self, section):
        return sorted(self.string(at) for at in self.registered(section))


@lru_cache(maxsize=None)
def load(path):
    return Elf(path)
