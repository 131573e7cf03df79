#!/usr/bin/python3
"""The end of a process: at once, once, with its reason; never also a stall."""
import ctypes
import os
import signal
import time

from harness import *


def ended(room, act, **options):
    observer = Observer(room, **options)
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    act(worker)
    worker.wait()
    return observer, worker


def how(observer, pid):
    """The end of PID, completed by its end-status where it came without one."""
    end = observer.events.wait("end", pid=pid)
    return observer.events.wait("end-status", pid=pid) if end["end"] == "unknown" else end


@case("an exit is told with its status")
def _(room):
    for number in (0, 1, 42, 255):
        observer, worker = ended(room, lambda w, n=number: w.tell(f"exit {n}"))
        end = how(observer, worker.pid)
        assert end["end"] == "exited" and end["code"] == number, end
        observer.stop()


@case("a death by signal is told with the signal")
def _(room):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        observer, worker = ended(room, lambda w, n=number: w.tell(f"raise {int(n)}"))
        end = how(observer, worker.pid)
        assert end["end"] == "killed" and end["code"] == number, end
        assert end["core"] is False, end
        observer.stop()


@case("an abort is a death by SIGABRT")
def _(room):
    observer, worker = ended(room, lambda w: w.tell("abort"))
    end = how(observer, worker.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGABRT, end


@case("who says goodbye has left, and its exit is not told again")
def _(room):
    observer, worker = ended(room, lambda w: w.tell("leave 3"))
    end = observer.events.wait("end", pid=worker.pid)
    assert end["end"] == "left", end
    other = Worker(observer.socket)
    other.tell("exit 0")
    observer.events.wait("end", pid=other.pid)
    assert len(observer.ends(pid=worker.pid)) == 1
    assert not observer.events.matching("end-status", pid=worker.pid)
    assert observer.counter('ends_total{end="left"}') == 1


@case("who says goodbye and lives on is never a stall, and may beat again")
def _(room):
    observer = Observer(room, threshold="200ms")
    worker = Worker(observer.socket, 30)
    observer.events.wait("first-beat", pid=worker.pid)
    worker.do("close")
    assert observer.events.wait("end", pid=worker.pid)["end"] == "left"
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    assert not observer.stalls(pid=worker.pid)
    assert worker.process.poll() is None


@case("an end is told at once, whatever the threshold")
def _(room):
    observer = Observer(room, threshold="1h")
    late = []
    for _ in range(10):
        worker = Worker(observer.socket)
        observer.events.wait("first-beat", pid=worker.pid)
        before = time.monotonic()
        worker.send_signal(signal.SIGKILL)
        observer.events.wait("end", pid=worker.pid)
        late.append(time.monotonic() - before)
        worker.wait()
    assert sorted(late)[len(late) // 2] < 0.05, late


@case("an end is never also a stall")
def _(room):
    observer = Observer(room, threshold="150ms")
    workers = [Worker(observer.socket, 30) for _ in range(20)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    for worker in workers:
        observer.events.wait("end", pid=worker.pid)
    # Somebody's later stall: by then each of the ended ones would have been told.
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    killed = {w.pid: 0 for w in workers}
    for event in observer.ends():
        killed[event["pid"]] = killed.get(event["pid"], 0) + 1
    assert set(killed.values()) == {1}, killed
    assert {stall["pid"] for stall in observer.stalls()} <= {other.pid}


@case("a stalled process that ends is told as ended")
def _(room):
    observer = Observer(room, threshold="200ms")
    worker = Worker(observer.socket, 40)
    worker.stop()
    observer.events.wait("stall", pid=worker.pid)
    worker.send_signal(signal.SIGKILL)
    end = how(observer, worker.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGKILL, end
    assert end["silent_s"] >= 0.2, end


@case("a zombie that nobody reaps is told as ended, and its status when it can be known")
def _(room):
    observer = Observer(room, threshold="300ms")
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    worker.tell("exit 7")
    end = observer.events.wait("end", pid=worker.pid)
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    assert not observer.stalls(pid=worker.pid)
    if end["end"] == "unknown":
        assert not observer.events.matching("end-status", pid=worker.pid)
        worker.wait()
        end = observer.events.wait("end-status", pid=worker.pid)
    assert end["end"] == "exited" and end["code"] == 7, end
    worker.wait()
    assert len(observer.ends(pid=worker.pid)) == 1


@case("a process that is reaped at once still has its status told")
def _(room):
    observer = Observer(room)
    # Its parent ignores SIGCHLD, so that the kernel reaps.
    def run(tell, told):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        grandchild = os.fork()
        if grandchild == 0:
            sender = Sender(observer.socket)
            sender.beat()
            told()
            os._exit(23)
        tell(grandchild)
        until(lambda: not alive(grandchild), "the grandchild's end")
        return 0
    child = Child(run)
    pid = int(child.hear())
    observer.events.wait("first-beat", pid=pid)
    child.say()
    end = observer.events.wait("end", pid=pid)
    if end["end"] == "unknown":
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
            raise Skip("this kernel forgets the status of reaped processes")
        end = observer.events.wait("end-status", pid=pid)
    assert end["end"] == "exited" and end["code"] == 23, end


@case("ended processes are shown for a while, with how they ended")
def _(room):
    observer, worker = ended(room, lambda w: w.tell("exit 9"))
    how(observer, worker.pid)
    row = [row for row in observer.rows() if row["pid"] == worker.pid][0]
    assert row["state"] == "ended" and row["end"] == "exited" and row["code"] == 9, row
    assert row["ended_s"] >= 0, row
    assert observer.counter('ends_total{end="exited"}') == 1
    assert observer.counter("watch_pids_tracked") == 0


class CloneArgs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
                 "set_tid_size", "cgroup")]


def fork_as(pid, function):
    """Forks a child whose pid is PID, by clone3."""
    tids = (ctypes.c_int32 * 1)(pid)
    args = CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(tids), set_tid_size=1)
    result = libc.syscall(435, ctypes.byref(args), ctypes.sizeof(args))
    if result == 0:
        code = 99
        try:
            code = function() or 0
        finally:
            os._exit(code)
    if result < 0:
        raise Skip(f"no pid can be chosen here: {os.strerror(ctypes.get_errno())}")
    return result


@case("a recycled pid names two processes, and each gets its own events")
def _(room):
    need_root()
    observer = Observer(room, threshold="5s")
    worker = Worker(observer.socket)
    pid = worker.pid
    first = observer.events.wait("first-beat", pid=pid)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = how(observer, pid)
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * 100 > first["start_ticks"] + 2, "another clock tick")
    mark = observer.events.mark()

    def run():
        sender = Sender(observer.socket)
        sender.beat(pid=pid)
        signal.pause()
    assert fork_as(pid, run) == pid
    second = observer.events.wait("first-beat", since=mark, pid=pid)
    assert first["start_ticks"] != second["start_ticks"]
    assert end["start_ticks"] == first["start_ticks"]
    assert len(observer.ends(pid=pid)) == 1
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    end = observer.events.wait("end", since=mark, pid=pid)
    assert end["start_ticks"] == second["start_ticks"], end


@case("a pid recycled while the gate does not run is two processes all the same")
def _(room):
    need_root()
    observer = Observer(room, threshold="10s")
    worker = Worker(observer.socket, 0)
    pid = worker.pid
    first = observer.events.wait("first-beat", pid=pid)
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * 100 > first["start_ticks"] + 2, "another clock tick")
    ready, done = os.pipe()

    def run():
        sender = Sender(observer.socket)
        for nonce in range(1, 6):
            sender.send(frame(nonce, pid=pid))
        os.write(done, b"x")
        signal.pause()
    assert fork_as(pid, run) == pid
    os.read(ready, 1)
    os.kill(gate, signal.SIGCONT)
    end = observer.events.wait("end", pid=pid)
    assert end["start_ticks"] == first["start_ticks"], end
    second = observer.events.wait("first-beat", count=2, pid=pid)
    assert second["start_ticks"] != first["start_ticks"], second
    row = [row for row in observer.rows(str(pid)) if row["state"] == "healthy"][0]
    assert row["start_ticks"] == second["start_ticks"], row


@case("a fork that beats is a process of its own")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket)
    child = int(worker.do("fork")[0])
    observer.events.wait("first-beat", pid=child)
    os.kill(child, signal.SIGKILL)
    end = observer.events.wait("end", pid=child)
    assert end["pid"] == child
    assert not observer.ends(pid=worker.pid)
    until(lambda: observer.rows(str(worker.pid))[0]["beats"] > 10, "beats of the parent")


if __name__ == "__main__":
    main()
