#!/usr/bin/python3
"""What processes are called, and that a hostile name does no harm."""
import os
import signal

from harness import *

PR_SET_NAME = 15


def first(observer, pid):
    return observer.events.wait("first-beat", pid=pid)["name"]


def named_child(observer, name, environment=False):
    """A process whose comm is NAME (bytes), and which has beaten."""
    def run(tell, told):
        libc.prctl(PR_SET_NAME, name, 0, 0, 0)
        Sender(observer.socket).beat()
        tell("beat")
        told()
    child = Child(run)
    assert child.hear() == "beat"
    return child


@case("without anything else a process is called by its comm and the lowest free ordinal")
def _(room):
    observer = Observer(room)
    workers = [Worker(observer.socket) for _ in range(3)]
    base = "blackbox-worker"
    assert [first(observer, worker.pid) for worker in workers] == [f"{base}#1", f"{base}#2", f"{base}#3"]
    workers[1].tell("exit 0")
    workers[1].wait()
    observer.events.wait("end", pid=workers[1].pid)
    again = Worker(observer.socket)
    assert first(observer, again.pid) == f"{base}#2"
    last = Worker(observer.socket)
    assert first(observer, last.pid) == f"{base}#4"


@case("BELAY_NAME names a process")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket, env={"BELAY_NAME": "billing"})
    assert first(observer, worker.pid) == "billing"
    assert [row["pid"] for row in observer.rows("billing")] == [worker.pid]


@case("a BELAY_NAME outside of the grammar does not count")
def _(room):
    observer = Observer(room)
    for name in ("", "-x", ".x", "a/b", "0/root", "a b", "x" * 65, "n\nm", "\x1b[31mred", "ü", "%s%n", "$(reboot)", "*"):
        worker = Worker(observer.socket, env={"BELAY_NAME": name})
        assert first(observer, worker.pid).startswith("blackbox-worker#"), name
    longest = "x" * 64
    worker = Worker(observer.socket, env={"BELAY_NAME": longest})
    assert first(observer, worker.pid) == longest


@case("a hostile comm becomes a harmless name")
def _(room):
    observer = Observer(room)
    for name in (b"a b", b"(x) R 1 1", b"\x1b]0;x\x07", b"\xff\xfe\xfd", b'"}\n{"event"', b"../../etc", b"", b"\\u0000", b"%s%s%n"):
        child = named_child(observer, name)
        given = first(observer, child.pid)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@#-]{0,63}", given), (name, given)
        assert [row["pid"] for row in observer.rows(str(child.pid))] == [child.pid]
        child.say()
        child.wait()
    observer.events.read()
    assert observer.events.torn == 0
    assert not any(byte < 0x20 and byte != 0x0A or byte == 0x7F for byte in observer.log().encode()), "control characters in the log"


@case("a process whose comm looks like the end of its stat line is still told apart")
def _(room):
    observer = Observer(room, threshold="300ms")
    child = named_child(observer, b") S 1 1 1 0")
    event = observer.events.wait("first-beat", pid=child.pid)
    assert event["start_ticks"] == int(stat_fields(child.pid)[19]), event
    os.kill(child.pid, signal.SIGSTOP)
    stall = observer.events.wait("stall", pid=child.pid)
    assert stall["verdict"] == "stopped", stall


@case("a rule names a process before all else, by comm, exe or uid")
def _(room):
    os.symlink(WORKER, room.file("alpha"))
    shutil.copy(WORKER, room.file("beta"))
    config = room.write("c.conf", f"""
[process by-exe]
exe = {room.file('beta')}
[process by-comm]
comm = al?ha
[process by-uid]
uid = {os.geteuid()}
""")
    observer = Observer(room, config=config)
    workers = {name: Worker(observer.socket, program=path, env={"BELAY_NAME": "mine"})
               for name, path in (("by-comm", room.file("alpha")), ("by-exe", room.file("beta")), ("by-uid", WORKER))}
    for name, worker in workers.items():
        assert first(observer, worker.pid).split("#")[0] == name, name
        assert observer.rows(str(worker.pid))[0]["rule"] == name


@case("selections are names, globs and pids")
def _(room):
    observer = Observer(room)
    web1, web2, db = [Worker(observer.socket, env={"BELAY_NAME": name}) for name in ("web1", "web2", "db")]
    for worker in (web1, web2, db):
        observer.events.wait("first-beat", pid=worker.pid)
    for selection, expected in (("web1", {web1}), ("web*", {web1, web2}), ("*", {web1, web2, db}), ("", {web1, web2, db}),
                                ("web?", {web1, web2}), (str(db.pid), {db})):
        assert {row["pid"] for row in observer.rows(selection)} == {worker.pid for worker in expected}, selection
    code, sentence, rows = ask(observer.socket, STATUS, name="nobody")
    assert code == -2 and rows == [] and sentence, (code, sentence)
    code, _, rows = ask(observer.socket, STATUS, name="[")
    assert rows == [] and code == -2


@case("two processes that give themselves one name are told apart by pid")
def _(room):
    observer = Observer(room)
    a, b = [Worker(observer.socket, env={"BELAY_NAME": "same"}) for _ in range(2)]
    for worker in (a, b):
        observer.events.wait("first-beat", pid=worker.pid)
    assert {row["pid"] for row in observer.rows() if row["name"].startswith("same")} == {a.pid, b.pid}


if __name__ == "__main__":
    main()
