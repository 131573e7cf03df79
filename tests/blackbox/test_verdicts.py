#!/usr/bin/python3
"""Why a process is silent: the verdict of a stall and what was seen."""
import contextlib
import ctypes
import os
import signal

from harness import *

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
__WALL = 0x40000000


def stall_after(room, act, **options):
    """The stall of a worker on whom ACT was done."""
    observer = Observer(room, **options)
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    act(worker)
    return observer, worker, observer.events.wait("stall", pid=worker.pid)


@case("a stopped process is called stopped")
def _(room):
    _, _, stall = stall_after(room, lambda worker: worker.stop())
    assert stall["verdict"] == "stopped", stall
    assert stall["evidence"], stall


@case("a process that a debugger holds is called traced")
def _(room):
    def trace(worker):
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if libc.ptrace(PTRACE_SEIZE, worker.pid, None, None) < 0:
            raise Skip("ptrace is not permitted here")
        assert libc.ptrace(PTRACE_INTERRUPT, worker.pid, None, None) == 0
        assert os.waitpid(worker.pid, __WALL)[0] == worker.pid
    _, worker, stall = stall_after(room, trace)
    libc.ptrace(PTRACE_DETACH, worker.pid, None, None)
    assert stall["verdict"] == "traced", stall
    assert str(os.getpid()) in stall["evidence"], stall


@contextlib.contextmanager
def cgroup(base, files):
    path = os.path.join(base, f"belay-bb-{os.getpid()}")
    try:
        os.mkdir(path)
    except OSError as error:
        raise Skip(f"no cgroup can be made below {base}: {error.strerror}") from error
    try:
        if not all(os.access(os.path.join(path, name), os.W_OK) for name in files):
            raise Skip(f"{path} has no {files}")
        yield path
    finally:
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            with contextlib.suppress(OSError):
                write(os.path.join(path, name), value)
        for pid in read_file(os.path.join(path, "cgroup.procs")).split():
            with contextlib.suppress(OSError):
                write(os.path.join(base, "cgroup.procs"), pid)
        until(lambda: remove(path), "an empty cgroup")


def remove(path):
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(text))


def mount_point(kind, word):
    for line in read_file("/proc/self/mounts").splitlines():
        fields = line.split()
        if fields[2] == kind and (word is None or word in fields[3].split(",")):
            return fields[1]
    raise Skip(f"no {kind} {word or ''} hierarchy here")


def freeze_case(room, base, name, value, frozen):
    need_root()
    with cgroup(base, [name, "cgroup.procs"]) as path:
        def freeze(worker):
            write(os.path.join(path, "cgroup.procs"), worker.pid)
            write(os.path.join(path, name), value)
            until(lambda: frozen(path), "the freezer")
        observer, worker, stall = stall_after(room, freeze)
        assert stall["verdict"] == "frozen", stall
        write(os.path.join(path, name), "THAWED" if value == "FROZEN" else "0")
        observer.events.wait("recovered", pid=worker.pid)


@case("a process in a frozen cgroup of version 1 is called frozen")
def _(room):
    freeze_case(room, mount_point("cgroup", "freezer"), "freezer.state", "FROZEN",
                lambda path: read_file(os.path.join(path, "freezer.state")).strip() == "FROZEN")


@case("a process in a frozen cgroup of version 2 is called frozen")
def _(room):
    freeze_case(room, mount_point("cgroup2", None), "cgroup.freeze", "1",
                lambda path: "frozen 1" in read_file(os.path.join(path, "cgroup.events")))


@case("a deadlock on a mutex is called blocked, and the futex is named")
def _(room):
    _, _, stall = stall_after(room, lambda worker: worker.tell("deadlock"))
    assert stall["verdict"] == "blocked", stall
    assert "futex" in stall["evidence"], stall


@case("a read of an empty pipe is called blocked, and the call is named")
def _(room):
    _, _, stall = stall_after(room, lambda worker: worker.tell("block"))
    assert stall["verdict"] == "blocked", stall
    assert "read" in stall["evidence"], stall


@case("a process that computes without end is called silent or starved")
def _(room):
    # On a busy host it may really have waited for the CPU; never is it called blocked.
    _, _, stall = stall_after(room, lambda worker: worker.tell("spin"))
    assert stall["verdict"] in ("silent", "starved"), stall


@case("a process that hardly gets a CPU is called starved")
def _(room):
    cpu = min(os.sched_getaffinity(0))

    def starve(worker):
        os.sched_setaffinity(worker.pid, {cpu})
        os.sched_setscheduler(worker.pid, os.SCHED_IDLE, os.sched_param(0))
        hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(3)]
        for hog in hogs:
            os.sched_setaffinity(hog.pid, {cpu})
        worker.tell("spin")
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip("one CPU: the observer would starve as well")
    _, _, stall = stall_after(room, starve)
    if stall["verdict"] != "starved":
        assert stall["verdict"] == "silent", stall
        raise Skip(f"the worker got enough CPU here: {stall['evidence']}")


@case("a stall tells how long the silence was, what was allowed and how late it was noticed")
def _(room):
    observer, worker, stall = stall_after(room, lambda worker: worker.stop(), threshold="300ms")
    assert 0.3 <= stall["silent_s"] < 5, stall
    assert stall["threshold_s"] == 0.3, stall
    assert 0 <= stall["late_s"] < 5, stall
    assert stall["origin"] == "kernel-attested", stall
    row = observer.rows(str(worker.pid))[0]
    assert row["state"] == "stalled" and row["verdict"] == "stopped", row


@case("with a prober that hangs a stall is still told, with what the gate can see itself")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    os.kill(observer.roles()["prober"], signal.SIGSTOP)
    worker.stop()
    stall = observer.events.wait("stall", pid=worker.pid)
    assert stall["verdict"] in ("stopped", "silent"), stall
    assert stall["evidence"] and stall["silent_s"] < 5, stall


@case("processes that fall silent at once each get their verdict")
def _(room):
    observer = Observer(room, threshold="1s")
    workers = [Worker(observer.socket, 200) for _ in range(25)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    for worker in workers:
        stall = observer.events.wait("stall", pid=worker.pid)
        assert stall["verdict"] == "stopped", stall
    assert len(observer.stalls()) == len(workers)


if __name__ == "__main__":
    main()
