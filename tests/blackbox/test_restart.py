#!/usr/bin/python3
"""Observers and their roles die, are replaced and stopped for a while: nobody is lost, nobody is blamed."""
import os
import random
import signal
import time

from harness import *


def crowd(observer, count=6, interval=50):
    workers = [Worker(observer.socket, interval) for _ in range(count)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    return workers


def go_on(observer, workers):
    """Waits until each of WORKERS has beaten again at this gate."""
    seen = {row["pid"]: row["beats"] for row in observer.rows() if "beats" in row}
    assert {worker.pid for worker in workers} <= set(seen), seen
    for worker in workers:
        until(lambda w=worker: observer.rows(str(w.pid))[0]["beats"] > seen[w.pid], "a beat")


def replaced(observer, role, old):
    def new():
        with contextlib.suppress(OSError, AssertionError):
            pid = observer.roles().get(role, 0)
            return pid not in (0, old) and pid
        return 0
    return until(new, f"another {role}")


@case("a killed gate is replaced, and nobody is lost or blamed")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1s")
    workers = crowd(observer)
    for _ in range(3):
        gate = observer.roles()["gate"]
        os.kill(gate, signal.SIGKILL)
        replaced(observer, "gate", gate)
        go_on(observer, workers)
    assert not observer.stalls() and not observer.ends()
    assert len(observer.events.matching("first-beat")) == len(workers)
    assert len(observer.events.matching("observer", what="role-restarted")) == 3
    assert observer.alive()


@case("a killed gate's successor still notices who fell silent and who ended")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="600ms")
    silent, ending, fine = crowd(observer, 3)
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    silent.stop()
    ending.send_signal(signal.SIGKILL)
    ending.wait()
    os.kill(gate, signal.SIGKILL)
    end = observer.events.wait("end", pid=ending.pid)
    assert end["while_down"] is True or end["end"] == "killed", end
    stall = observer.events.wait("stall", pid=silent.pid)
    assert stall["verdict"] == "stopped", stall
    assert not observer.stalls(pid=fine.pid)
    assert len(observer.ends()) == 1


@case("a beat that lay unread when its process ended brings it back for no second end")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="3s", max_beat_rate=0)
    worker = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=worker.pid)
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    assert worker.do("beat") == ["sent"]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    os.kill(gate, signal.SIGKILL)
    observer.events.wait("end", pid=worker.pid)
    replaced(observer, "gate", gate)
    other = Worker(observer.socket)
    observer.events.wait("first-beat", pid=other.pid)
    assert len(observer.ends()) == 1 and len(observer.events.matching("first-beat")) == 2, observer.events.seen


@case("a gate killed again and again is replaced each time")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="3s")
    workers = crowd(observer, 3)
    for _ in range(6):
        gate = until(observer.gate, "a gate")
        os.kill(gate, signal.SIGKILL)
        until(lambda g=gate: observer.gate() not in (0, g), "another gate")
    replaced(observer, "gate", 0)
    go_on(observer, workers)
    assert not observer.stalls() and not observer.ends()


@case("a killed prober is replaced, and verdicts go on")
def _(room):
    observer = Observer(room)
    prober = observer.roles()["prober"]
    os.kill(prober, signal.SIGKILL)
    replaced(observer, "prober", prober)
    worker = Worker(observer.socket)
    worker.stop()
    stall = observer.events.wait("stall", pid=worker.pid)
    assert stall["verdict"] == "stopped", stall
    assert observer.events.matching("observer", what="role-ended")


@case("a killed observer's successor knows everybody")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1s")
    workers = crowd(observer)
    names = {worker.pid: observer.rows(str(worker.pid))[0]["name"] for worker in workers}
    observer.kill()
    observer.start()
    go_on(observer, workers)
    assert {worker.pid: observer.rows(str(worker.pid))[0]["name"] for worker in workers} == names
    assert not observer.stalls() and not observer.ends()
    assert len(observer.events.matching("first-beat")) == len(workers)


@case("who ended while no observer ran is told as ended then")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1s")
    gone, stays = crowd(observer, 2)
    observer.kill()
    gone.send_signal(signal.SIGKILL)
    gone.wait()
    observer.start()
    end = observer.events.wait("end", pid=gone.pid)
    assert end["while_down"] is True and end["end"] == "unknown", end
    go_on(observer, [stays])
    assert not observer.stalls() and len(observer.ends()) == 1


@case("who fell silent while no observer ran stalls one threshold after it is back")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="700ms")
    silent, fine = crowd(observer, 2)
    observer.kill()
    silent.stop()
    before = time.monotonic()
    observer.start()
    stall = observer.events.wait("stall", pid=silent.pid)
    assert time.monotonic() - before >= 0.65
    assert stall["verdict"] == "stopped", stall
    assert not observer.stalls(pid=fine.pid)


@case("a stall that was told before a restart is not told again, and its end is")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="300ms")
    silent, fine = crowd(observer, 2)
    silent.stop()
    observer.events.wait("stall", pid=silent.pid)
    observer.kill()
    observer.start()
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    assert len(observer.stalls(pid=silent.pid)) == 1
    silent.send_signal(signal.SIGCONT)
    observer.events.wait("recovered", pid=silent.pid)
    assert not observer.stalls(pid=fine.pid)


@case("a restart after SIGTERM loses nobody either")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="1s")
    workers = crowd(observer)
    assert observer.stop() == 0
    observer.start()
    go_on(observer, workers)
    assert not observer.stalls() and not observer.ends()


@case("without a state file an observer starts anew, and runs")
def _(room):
    observer = Observer(room, threshold="1s", state="none")
    workers = crowd(observer, 2)
    observer.kill()
    mark = observer.events.mark()
    observer.start()
    for worker in workers:
        observer.events.wait("first-beat", since=mark, pid=worker.pid)
    assert not observer.ends()


@case("without a state file a gate may be killed all the same, and nobody is lost")
def _(room):
    observer = Observer(room, threshold="1s", state="none")
    workers = crowd(observer, 3)
    mark = observer.events.mark()
    os.kill(observer.gate(), signal.SIGKILL)
    observer.events.wait("observer", since=mark, what="role-restarted")
    go_on(observer, workers)
    assert not observer.events.matching("first-beat", since=mark) and not observer.ends() and not observer.stalls()


@case("a state file that is on no memory file system is refused once, and the observer runs")
def _(room):
    disk = next((path for path in ("/var/tmp", "/tmp") if not on_tmpfs(path) and os.access(path, os.W_OK)), None)
    if disk is None:
        raise Skip("no file system that is not in memory")
    path = tempfile.mkdtemp(prefix="belay-bb-", dir=disk)
    try:
        observer = Observer(room, state=os.path.join(path, "x.state"))
        worker = Worker(observer.socket)
        observer.events.wait("first-beat", pid=worker.pid)
        log = observer.log()
        assert log.count("x.state") == 1 and "memory file system" in log, log
    finally:
        shutil.rmtree(path)


@case("a gate that was stopped for three thresholds blames nobody")
def _(room):
    observer = Observer(room, threshold="400ms")
    workers = crowd(observer, 4, 30)
    gate = observer.gate()
    for _ in range(2):
        os.kill(gate, signal.SIGSTOP)
        until(lambda: process_state(gate) == "T", "a stopped gate")
        resume_at = time.monotonic() + 3 * 0.4
        until(lambda: time.monotonic() >= resume_at, "three thresholds")
        os.kill(gate, signal.SIGCONT)
        go_on(observer, workers)
    assert not observer.stalls(), observer.stalls()
    # It still tells who is silent.
    workers[0].stop()
    observer.events.wait("stall", pid=workers[0].pid)


@case("an observer all of whose roles were stopped for three thresholds blames nobody")
def _(room):
    observer = Observer(room, threshold="400ms")
    workers = crowd(observer, 4, 30)
    everyone = [observer.pid] + children_of(observer.pid)
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    resume_at = time.monotonic() + 3 * 0.4
    until(lambda: time.monotonic() >= resume_at, "three thresholds")
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    go_on(observer, workers)
    assert not observer.stalls(), observer.stalls()


@case("a client that beats all the time finds each new observer by itself")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="2s")
    worker = Worker(observer.socket, 20)
    observer.events.wait("first-beat", pid=worker.pid)
    for _ in range(3):
        observer.stop()
        assert not os.path.exists(observer.socket)
        observer.start()
        go_on(observer, [worker])
    assert not observer.stalls() and not observer.ends()


@case("roles killed at random moments lose nobody and blame nobody", limit=60)
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="6s")
    workers = crowd(observer, 5, 40)
    generator = random.Random(17)
    for _ in range(12):
        at = time.monotonic() + generator.uniform(0, 0.12)
        until(lambda t=at: time.monotonic() >= t, "the moment")
        roles = children_of(observer.pid)
        if roles:
            os.kill(generator.choice(roles), signal.SIGKILL)
    replaced(observer, "gate", 0)
    go_on(observer, workers)
    ending = workers.pop()
    ending.tell("exit 4")
    end = observer.events.wait("end", pid=ending.pid)
    assert end["end"] in ("exited", "unknown"), end
    assert not observer.stalls() and len(observer.ends()) == 1
    assert len(observer.events.matching("first-beat")) == 5


@case("an observer that is killed while it starts leaves nothing that hinders the next")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="5s")
    workers = crowd(observer, 3)
    observer.kill()
    generator = random.Random(3)
    for _ in range(15):
        observer.launch()
        at = time.monotonic() + generator.uniform(0, 0.04)
        until(lambda t=at: time.monotonic() >= t, "the moment")
        observer.kill()
    observer.start()
    go_on(observer, workers)
    assert not observer.stalls() and not observer.ends()
    assert len(observer.events.matching("first-beat")) == 3


@case("numbers of events go on where they were, whoever was killed")
def _(room):
    observer = Observer(room)
    for turn in range(4):
        worker = Worker(observer.socket)
        worker.tell("exit 0")
        observer.events.wait("end", pid=worker.pid)
        if turn % 2:
            gate = observer.roles()["gate"]
            os.kill(gate, signal.SIGKILL)
            replaced(observer, "gate", gate)
        else:
            observer.kill()
            observer.start()
    numbers = [event["seq"] for event in observer.events.read()]
    assert numbers == sorted(set(numbers)), numbers


@case("roles end when their parent is killed")
def _(room):
    observer = Observer(room)
    roles = children_of(observer.pid)
    assert len(roles) == 3, roles
    observer.process.kill()
    observer.process.wait()
    until(lambda: not any(alive(pid) for pid in roles), "the roles' end")


if __name__ == "__main__":
    main()
