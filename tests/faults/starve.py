"""Lets a worker's calls for memory or threads fail, by starve.c, which is preloaded into it."""

import mmap
import os
import struct
import subprocess
from pathlib import Path

FIELDS = ("first", "last", "count", "failed", "where")
EVERY = 1 << 62


class Scarce:
    """One kind of call, as starve.c counts it."""

    def __init__(self, memory, place):
        self.memory, self.place = memory, place

    def get(self, name):
        return struct.unpack_from("q", self.memory, self.place + 8 * FIELDS.index(name))[0]

    def put(self, name, value):
        struct.pack_into("q", self.memory, self.place + 8 * FIELDS.index(name), value)

    def fail(self, first, last=None):
        """The first to the last from now on, the first alone unless told."""
        self.put("first", 0)
        for name, value in (("count", 0), ("failed", 0), ("last", last or first), ("first", first)):
            self.put(name, value)

    def spare(self):
        self.put("first", 0)

    @property
    def count(self):
        return self.get("count")

    @property
    def failed(self):
        return self.get("failed")


class Starve:
    def __init__(self, binary, folder, libraries=""):
        self.binary, self.libraries = binary, libraries
        self.path = Path(folder) / "starve"
        self.path.write_bytes(bytes(4096))
        self.file = open(self.path, "r+b")  # pylint: disable=consider-using-with
        self.mapped = mmap.mmap(self.file.fileno(), 4096)
        self.memory, self.threads = Scarce(self.mapped, 0), Scarce(self.mapped, 8 * len(FIELDS))

    def environment(self):
        """For a worker. An AddressSanitizer wants to be the first library, and can do without. Its search for leaks
        tells the loader's own memory (of threads) by who asked for it, which with us in between is nobody it knows."""
        options = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": str(Path(self.binary).parent / "libstarve.so"), "STARVE_FILE": str(self.path),
                "STARVE_LIBRARIES": self.libraries,
                "ASAN_OPTIONS": ":".join(each for each in (options, "verify_asan_link_order=0",
                                                               "detect_leaks=0") if each)}

    def close(self):
        self.mapped.close()
        self.file.close()

    def where(self, scarce):
        """Function and line of the call that failed last, for people."""
        place = hex(scarce.get("where") - 1)
        done = subprocess.run(["addr2line", "-f", "-s", "-e", self.binary, place], capture_output=True, text=True,
                              timeout=60, check=False)
        return " ".join(done.stdout.split()) or place
