#!/usr/bin/python3
"""When a stall is told, when it is over, and who has which threshold."""
import os
import signal
import time

from harness import *


@case("a stall is told once per silence and ends with the next beat")
def _(room):
    observer = Observer(room, threshold="200ms")
    worker = Worker(observer.socket, 40)
    for turn in range(1, 4):
        worker.stop()
        observer.events.wait("stall", count=turn, pid=worker.pid)
        # A second process goes silent later: by its stall, the first had every chance to be told again.
        other = Worker(observer.socket, 40)
        other.stop()
        observer.events.wait("stall", pid=other.pid)
        assert len(observer.stalls(pid=worker.pid)) == turn
        worker.send_signal(signal.SIGCONT)
        recovered = observer.events.wait("recovered", count=turn, pid=worker.pid)
        assert recovered["silent_s"] >= 0.2, recovered
    assert observer.rows(str(worker.pid))[0]["stalls"] == 3
    assert observer.counter("stalls_total") == 6
    assert observer.counter("recoveries_total") == 3


@case("a process that beats in time is never told of")
def _(room):
    observer = Observer(room, threshold="1s")
    workers = [Worker(observer.socket, 100) for _ in range(5)]
    silent = Worker(observer.socket, 100)
    silent.stop()
    observer.events.wait("stall", pid=silent.pid)
    for worker in workers:
        until(lambda w=worker: observer.rows(str(w.pid))[0]["beats"] > 10, "beats")
    assert [stall["pid"] for stall in observer.stalls()] == [silent.pid]


@case("fifty processes that share the kernel's default queue never stall", limit=60)
def _(room):
    observer = Observer(room, threshold="4s")
    workers = [Worker(observer.socket, 100) for _ in range(50)]
    until(lambda: len(observer.events.matching("first-beat")) == 50, "first beats")
    until(lambda: min(row["beats"] for row in observer.rows()) > 15, "beats of each")
    assert not observer.stalls() and len(workers) == 50


@case("a stall is never told before its deadline")
def _(room):
    observer = Observer(room, threshold="400ms", max_beat_rate=0)
    for _ in range(5):
        worker = Worker(observer.socket, 0)
        before = time.monotonic()
        worker.do("beat")
        observer.events.wait("stall", pid=worker.pid)
        assert time.monotonic() - before >= 0.4
    for stall in observer.stalls():
        assert stall["silent_s"] >= stall["threshold_s"], stall


@case("the first beat names the process and its start time")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket)
    event = observer.events.wait("first-beat", pid=worker.pid)
    assert event["uid"] == os.geteuid(), event
    assert event["start_ticks"] == int(stat_fields(worker.pid)[19]), event
    assert event["name"].startswith("blackbox-worker"[:15]), event


@case("a change of status is told, and no beat that changes nothing")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket, 20)
    observer.events.wait("first-beat", pid=worker.pid)
    worker.do(f"status {DEGRADED}")
    observer.events.wait("status", pid=worker.pid, status="degraded")
    assert observer.rows(str(worker.pid))[0]["state"] == "degraded"
    worker.do(f"status {CRITICAL}")
    observer.events.wait("status", pid=worker.pid, status="critical")
    assert observer.rows(str(worker.pid))[0]["state"] == "critical"
    worker.do(f"status {OK}")
    observer.events.wait("status", pid=worker.pid, status="ok")
    until(lambda: observer.rows(str(worker.pid))[0]["beats"] > 20, "beats")
    assert len(observer.events.matching(pid=worker.pid)) == 4


@case("an announced silence may last as announced")
def _(room):
    observer = Observer(room, threshold="200ms", max_beat_rate=0)
    worker = Worker(observer.socket, 0)
    other = Worker(observer.socket, 0)
    worker.do("beat")
    assert worker.do("within 1500") == ["0"]
    began = time.monotonic()
    other.do("beat")
    observer.events.wait("stall", pid=other.pid)
    assert not observer.stalls(pid=worker.pid)
    stall = observer.events.wait("stall", pid=worker.pid)
    assert time.monotonic() - began >= 1.4, stall
    assert observer.counter("withins_total") == 1


@case("an announced silence ends with the next beat")
def _(room):
    observer = Observer(room, threshold="200ms", max_beat_rate=0)
    worker = Worker(observer.socket, 0)
    assert worker.do("within 30000") == ["0"]
    until(lambda: observer.counter("withins_total") == 1, "the announcement")
    worker.do("beat")
    observer.events.wait("stall", pid=worker.pid, patience=10)


@case("an announcement counts although a beat before it was lost to a rate limit")
def _(room):
    observer = Observer(room, threshold="200ms", max_beat_rate=1)
    worker = Worker(observer.socket, 0)
    worker.do("beat")
    assert worker.do("within 30000") == ["0"]
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    assert observer.counter('rate_limited_total{reason="per_pid"}') == 1
    assert not observer.stalls(pid=worker.pid)


@case("an announced silence is cut to within-max")
def _(room):
    observer = Observer(room, threshold="200ms", within_max="600ms")
    worker = Worker(observer.socket, 0)
    assert worker.do("within 3600000") == ["0"]
    began = time.monotonic()
    observer.events.wait("stall", pid=worker.pid, patience=10)
    assert time.monotonic() - began >= 0.5


@case("each name may have a threshold of its own")
def _(room):
    config = room.write("c.conf", "[process slow]\ncomm = slow*\nthreshold = 30s\n[process quick]\ncomm = quick*\nthreshold = 100ms\n")
    observer = Observer(room, config=config, threshold="600ms")
    workers = {}
    for name in ("slow", "quick", "usual"):
        os.symlink(WORKER, room.file(name))
        workers[name] = Worker(observer.socket, 0, program=room.file(name))
    for name in ("quick", "usual"):
        observer.events.wait("stall", pid=workers[name].pid)
    assert observer.stalls(pid=workers["quick"].pid)[0]["threshold_s"] == 0.1
    assert observer.stalls(pid=workers["usual"].pid)[0]["threshold_s"] == 0.6
    assert not observer.stalls(pid=workers["slow"].pid)
    row = observer.rows(str(workers["slow"].pid))[0]
    assert row["threshold_s"] == 30 and row["rule"] == "slow", row


@case("fewer processes than expected are missing, and told once")
def _(room):
    config = room.write("c.conf", "[process web]\ncomm = web\nexpect = 3\nfirst-beat = 300ms\n")
    os.symlink(WORKER, room.file("web"))
    observer = Observer(room, config=config, threshold="5s")
    worker = Worker(observer.socket, program=room.file("web"))
    event = observer.events.wait("missing", name="web")
    assert event["expected"] == 3 and event["beating"] == 1, event
    row = [row for row in observer.rows("web") if row["state"] == "missing"][0]
    assert row["expected"] == 3 and row["beating"] == 1, row
    assert len(observer.events.matching("missing")) == 1
    assert worker.process.poll() is None


@case("nobody is missing when as many beat as are expected")
def _(room):
    config = room.write("c.conf", "[process web]\ncomm = web\nexpect = 2\nfirst-beat = 1s\n[process db]\ncomm = db\nexpect = 1\nfirst-beat = 1500ms\n")
    os.symlink(WORKER, room.file("web"))
    observer = Observer(room, config=config, threshold="5s")
    for _ in range(2):
        Worker(observer.socket, program=room.file("web"))
    observer.events.wait("missing", name="db")
    assert not observer.events.matching("missing", name="web")


@case("an expected process that ended is missing again")
def _(room):
    config = room.write("c.conf", "[process web]\ncomm = web\nexpect = 1\nfirst-beat = 1s\n")
    os.symlink(WORKER, room.file("web"))
    observer = Observer(room, config=config, threshold="5s")
    worker = Worker(observer.socket, program=room.file("web"))
    observer.events.wait("first-beat", pid=worker.pid)
    worker.tell("exit 0")
    observer.events.wait("end", pid=worker.pid)
    event = observer.events.wait("missing", name="web")
    assert event["beating"] == 0, event


if __name__ == "__main__":
    main()
