#!/usr/bin/python3
"""Each allocation and system call of the observer fails once: it ends with a sentence, or it works; it never crashes."""
import os
import signal
import struct

from harness import *

FAULT = os.environ["BELAY_FAULT"]
SLICES = 8
FIRST, LAST = (int(word) for word in os.environ.get("FAULT_RANGE", "1-100000").split("-"))


class Fault:
    """The numbers that all processes of one observer share."""

    def __init__(self, room, failing):
        self.path = room.file("fault")
        with open(self.path, "wb") as file:
            file.write(struct.pack("QQ48s", 0, failing, b"") + b"\0" * 4032)

    def read(self):
        with open(self.path, "rb") as file:
            made, _, name = struct.unpack("QQ48s", file.read(64))
        return made, name.rstrip(b"\0").decode()


def answers(observer):
    with contextlib.suppress(OSError, AssertionError):
        with Door(observer.socket, patience=0.5) as door:
            return door.ask(PING)[0] == 0
    return False


def row_of(observer, pid):
    with contextlib.suppress(OSError, AssertionError):
        with Door(observer.socket, patience=0.5) as door:
            rows = door.ask(STATUS, name=str(pid))[2]
            return rows[0] if rows else {}
    return {}


def beat_until(observer, condition, what):
    """Beats until CONDITION: the one that failed may have been lost."""
    sender = None

    def beat_and_look():
        nonlocal sender
        with contextlib.suppress(OSError):
            sender = sender or Sender(observer.socket)
        try:
            if sender:
                sender.beat(timestamp=0)
        except OSError:
            sender = None
        return condition()
    until(beat_and_look, what)


def one(room, number):
    """One life of an observer in which call NUMBER fails. Returns how many calls it made, and which failed."""
    for name in os.listdir(room.path):
        path = room.file(name)
        if not os.path.isdir(path):
            os.unlink(path)
    fault = Fault(room, number)
    observer = Observer(room, start=False, threshold="60ms", capacity=16, max_beat_rate=0,
                        env={"LD_PRELOAD": FAULT, "FAULT_FILE": fault.path})
    observer.launch()

    def context():
        return f"call {number} ({fault.read()[1]}): {observer.log()}"
    try:
        until(lambda: answers(observer) or not observer.alive(), context)
        if observer.alive():
            beat_until(observer, lambda: row_of(observer, os.getpid()).get("beats"), context)
            until(lambda: row_of(observer, os.getpid()).get("state") == "stalled", context)
            child = beating_child(observer.socket) if answers(observer) else None
            if child:
                child.say("exit")
                child.wait()
                until(lambda: row_of(observer, child.pid).get("state", "ended") == "ended", context)
            code = observer.stop()
            assert code == 0, f"it ended with {code}"
        else:
            assert observer.process.returncode > 0, f"it ended with {observer.process.returncode}"
            assert observer.log().strip() or fault.read()[1] in ("write", "writev"), "it said nothing"
        # The parent itself kills (9) a role whose channel it cannot read, and replaces it.
        assert not re.search("killed by signal (?!9 )", observer.log()), "a role crashed"
        left = [name for name in os.listdir(room.path) if name.endswith((".sock", ".hello"))]
        # What it could not look at again is not surely its own: then it stays, and the next observer takes it over.
        assert not left or fault.read()[1] in ("fstatat64", "lstat64"), f"{left} left"
        if left:
            Observer(room).stop()
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        raise AssertionError(f"{context()}: {error!r}") from error
    return fault.read()


def life(room, part):
    room.need_tmpfs()
    # Without any failure: how many calls a life has. One that is cut short has fewer.
    calls, failures = one(room, 0)[0], []
    assert calls > 100, f"only {calls} calls were counted: is the library preloaded?"
    for number in range(FIRST + part, min(calls + 20, LAST) + 1, SLICES):
        try:
            one(room, number)
        except AssertionError as error:
            failures.append(str(error))
            for pid in _others():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if len(failures) > 5:
                break
    assert not failures, "\n\n".join(failures)


def _others():
    found = []
    for pid in children_of(os.getpid()):
        found += [pid] + children_of(pid)
    return found


for part_number in range(SLICES):
    def run(room, part=part_number):
        life(room, part)
    case(f"a call that fails, each {SLICES}th from the {part_number + 1}th on, ends it with a sentence or changes nothing", limit=200)(run)


if __name__ == "__main__":
    main()
