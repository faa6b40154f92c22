"""A wall clock that jumps under a program while it runs: wall_clock.c, preloaded. The monotonic clock stays."""

import mmap
import os
import struct
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("wall_clock.c")
HOUR = 3600


class WallClock:
    """`with WallClock() as clock`: programs are started with clock.environment(), clock.jump(seconds) moves them."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="clock-")
        folder = Path(self.folder.name)
        self.library, self.file = folder / "wall_clock.so", folder / "seconds"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", self.library, SOURCE], check=True,
                       timeout=60)
        # Whoever the program runs as may read it.
        folder.chmod(0o755)
        self.file.write_bytes(bytes(8))
        with open(self.file, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 8)
        return self

    def __exit__(self, *_):
        self.shared.close()
        self.folder.cleanup()

    def jump(self, seconds):
        """From the real time, not from where it stands."""
        self.shared[:8] = struct.pack("=q", seconds)

    def environment(self):
        """A sanitizer's runtime wants to be the first library; it may be the second here."""
        options = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": str(self.library), "WALL_CLOCK": str(self.file),
                "ASAN_OPTIONS": f"{options}{':' if options else ''}verify_asan_link_order=0"}
