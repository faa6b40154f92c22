"""CPU and memory of processes, from /proc."""

import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()


def cpu_seconds(pid):
    """Of the process, its living children, and those of its children that ended and were waited for."""
    fields = _stat(pid)
    ticks = sum(int(value) for value in fields[11:15])  # utime stime cutime cstime
    for child in _children(pid):
        try:
            ticks += sum(int(value) for value in _stat(child)[11:15])
        except OSError:
            pass  # it ended between the two looks; the next look finds it in cutime
    return ticks / TICK


def _children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += file.read().split()
        except OSError:
            pass
    return found


def peak_memory_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def machine_busy_seconds():
    """All the CPU that this machine has used, by whomever."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(v) for v in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


class Meter:
    """CPU of named processes between start() and stop(); `others` is what the rest of the machine used meanwhile, as a
    share of all its cores: a measurement beside a busy neighbour says little."""

    def __init__(self, pids):
        self.pids = pids

    def cpu(self):
        """Seconds of each since it began."""
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def _look(self):
        return self.cpu(), machine_busy_seconds(), time.monotonic()

    def start(self):
        self.before = self._look()
        return self

    def stop(self):
        cpu, busy, now = self._look()
        used = {name: cpu[name] - self.before[0][name] for name in cpu}
        seconds = now - self.before[2]
        others = max(0.0, busy - self.before[1] - sum(used.values())) / (seconds * os.cpu_count())
        return {"cpu_s": used, "seconds": seconds, "others": others}
