"""What a tree of processes costs: CPU by the kernel's process clocks, memory
by proportional set size."""
import os
import time

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2


def process_clock(pid):
    """CPU seconds of a process: the clock that clock_getcpuclockid() names
    (its number is made of the pid)."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    except FileNotFoundError:
        pass
    return found


def tree(pid):
    """The process and all its descendants."""
    pids = [pid]
    for each in pids:
        pids += children(each)
    return pids


def reaped(pid):
    """CPU seconds of children that have ended (only in ticks, but few end
    while it is measured)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) * TICK


def cpu(pid):
    """CPU seconds of the whole tree so far."""
    total = 0.0
    for each in tree(pid):
        try:
            total += process_clock(each) + reaped(each)
        except (OSError, ProcessLookupError):
            pass
    return total


def memory(pid):
    """Bytes that the tree takes (PSS: shared pages divided)."""
    total = 0
    for each in tree(pid):
        try:
            with open(f"/proc/{each}/smaps_rollup") as file:
                for line in file:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def spread(values):
    """Half the distance of the quartiles, in percent of the median."""
    values = sorted(values)
    if len(values) < 3 or median(values) == 0:
        return 0.0
    low, high = values[len(values) // 4], values[-1 - len(values) // 4]
    return 50.0 * (high - low) / median(values)
