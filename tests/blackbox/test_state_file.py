#!/usr/bin/python3
"""The state file as hostile input: whatever it holds, the observer starts, and believes nothing that is not so."""
import os
import random
import signal

from harness import *

CRASH = re.compile(r"Sanitizer|runtime error:|Assertion")


def kept(room):
    """An observer that was killed while it tracked a process, and that process."""
    room.need_tmpfs()
    observer = Observer(room, threshold="1h", capacity=64, events="none", start=False)
    observer.launch()
    until(lambda: "started" in observer.log(), observer.log)
    workers = [Worker(observer.socket, 0) for _ in range(3)]
    until(lambda: observer.counter("watch_pids_tracked") == 3, "beats")
    observer.kill()
    with open(observer.state, "rb") as file:
        return observer, workers, file.read()


def starts_with(observer, data):
    """Starts an observer with DATA as its state; what it says, and whom it knows."""
    with open(observer.state, "wb") as file:
        file.write(data)
    before = len(observer.log())
    observer.launch()
    until(lambda: "started" in observer.log()[before:] or not observer.alive(), lambda: observer.log()[before:])
    assert observer.alive(), observer.log()[before:]
    restarts = ask(observer.socket, SELF)[2][0]["roles"][0]["restarts"]
    rows = [row for row in observer.rows() if row["state"] != "ended"]
    observer.kill()
    said = observer.log()[before:]
    assert restarts == 0 and not CRASH.search(said), said
    return said, rows


@case("a whole state file is taken over")
def _(room):
    observer, workers, data = kept(room)
    _, rows = starts_with(observer, data)
    assert {row["pid"] for row in rows} == {worker.pid for worker in workers}, rows


@case("an empty, a short and a truncated state file are refused or ignored")
def _(room):
    observer, workers, data = kept(room)
    pids = {worker.pid for worker in workers}
    for size in (0, 1, 7, 8, 63, 64, 100, 4095, 4096, 4097, len(data) // 2, len(data) - 1):
        said, rows = starts_with(observer, data[:size])
        assert {row["pid"] for row in rows} <= pids, (size, rows)
        if 0 < size < 64:
            assert rows == [], (size, rows)


@case("a state file with more behind its end is refused or taken as it is")
def _(room):
    observer, workers, data = kept(room)
    _, rows = starts_with(observer, data + b"\xff" * 100000)
    assert {row["pid"] for row in rows} <= {worker.pid for worker in workers}


@case("garbage in the place of a state file is refused with a note")
def _(room):
    observer, _, data = kept(room)
    generator = random.Random(1)
    for content in (b"\0" * len(data), b"\xff" * len(data), generator.randbytes(len(data)), b"#!/bin/sh\nexit 0\n" * 1000):
        _, rows = starts_with(observer, content)
        assert rows == [], rows
    assert "state" in observer.log()


@case("a state file of another boot is not believed")
def _(room):
    observer, _, data = kept(room)
    boot = read_file("/proc/sys/kernel/random/boot_id").strip()
    raw = bytes.fromhex(boot.replace("-", ""))
    for needle in (boot.encode(), boot.replace("-", "").encode(), raw):
        at = data.find(needle)
        if at >= 0:
            break
    else:
        raise AssertionError("the state file does not hold the boot id")
    changed = bytearray(data)
    changed[at] = ord("0") if changed[at] != ord("0") else ord("1")
    said, rows = starts_with(observer, bytes(changed))
    assert rows == [], rows


def fuzz(room, seed, turns, change):
    observer, workers, data = kept(room)
    pids = {worker.pid for worker in workers}
    generator = random.Random(seed)
    used = [i for i, byte in enumerate(data) if byte]
    for _ in range(turns):
        changed = bytearray(data)
        change(generator, changed, used)
        _, rows = starts_with(observer, bytes(changed))
        # A flipped bit may name another living process of ours, never one that does not exist.
        for row in rows:
            assert row["pid"] in pids or alive(row["pid"]), row


@case("a byte changed in the header never crashes it", limit=100)
def _(room):
    def change(generator, data, used):
        data[generator.randrange(128)] ^= 1 << generator.randrange(8)
    fuzz(room, 2, 40, change)


@case("bytes changed where something is written never crash it", limit=100)
def _(room):
    def change(generator, data, used):
        for _ in range(generator.randrange(1, 8)):
            data[generator.choice(used)] = generator.randrange(256)
    fuzz(room, 3, 60, change)


@case("words of ones and zeros anywhere never crash it", limit=100)
def _(room):
    def change(generator, data, used):
        at = generator.choice(used) & ~7
        data[at:at + 8] = generator.choice((b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f" + b"\0" * 4, b"\x01" + b"\0" * 7))
    fuzz(room, 4, 60, change)


@case("parts of a state file that were exchanged never crash it", limit=100)
def _(room):
    def change(generator, data, used):
        a, b = generator.choice(used) & ~63, generator.choice(used) & ~63
        data[a:a + 64], data[b:b + 64] = data[b:b + 64], data[a:a + 64]
    fuzz(room, 5, 30, change)


@case("a state file that shrinks while it is used ends no observer")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1h", capacity=64)
    worker = Worker(observer.socket, 20)
    observer.events.wait("first-beat", pid=worker.pid)
    room.crash_expected = True
    os.truncate(observer.state, 0)
    # Only its own user can do that. The gate may lose its memory, not its life for good: somebody listens again.
    other = Worker(observer.socket, 20)
    until(lambda: _known(observer, other.pid), lambda: "the other process: " + observer.log())
    assert observer.alive()


def _known(observer, pid):
    with contextlib.suppress(OSError, AssertionError):
        return any(row["pid"] == pid and row["state"] == "healthy" for row in observer.rows(str(pid)))
    return False


@case("another capacity than before keeps whom it can")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1h", capacity=64)
    workers = [Worker(observer.socket, 0) for _ in range(6)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    for capacity, expected in ((4096, 6), (16, 6), (4, 4)):
        observer.kill()
        observer.options["capacity"] = capacity
        observer.start()
        rows = [row for row in observer.rows() if row["state"] == "healthy"]
        assert len(rows) == expected, (capacity, rows)
    assert not observer.stalls()


if __name__ == "__main__":
    main()
