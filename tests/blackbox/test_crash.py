#!/usr/bin/python3
"""A crash is told twice: by the process itself with its last word and its note, and by its end."""
import os
import signal

from harness import *


def hooked(room, **options):
    observer = Observer(room, **options)
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert worker.do("hook") == ["0"]
    return observer, worker


def how(observer, pid):
    end = observer.events.wait("end", pid=pid)
    if end["end"] == "unknown":
        end = {**observer.events.wait("end-status", pid=pid), "crash": end.get("crash")}
    return end


@case("the last word says critical, and the end comes with the note")
def _(room):
    observer, worker = hooked(room)
    worker.tell("fault 4096")
    worker.wait()
    assert observer.events.wait("status", pid=worker.pid)["to"] == "critical"
    end = how(observer, worker.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGSEGV, end
    assert "SIGSEGV" in end["crash"] and "0x1000" in end["crash"], end
    assert str(worker.pid) not in os.listdir(observer.socket + ".crash")


@case("an abort is told in the same way")
def _(room):
    observer, worker = hooked(room)
    worker.tell("abort")
    worker.wait()
    assert observer.events.wait("status", pid=worker.pid)["to"] == "critical"
    end = how(observer, worker.pid)
    assert end["code"] == signal.SIGABRT and "SIGABRT" in end["crash"], end


@case("who ends well leaves no note and no last word")
def _(room):
    observer, worker = hooked(room)
    worker.tell("exit 3")
    worker.wait()
    end = how(observer, worker.pid)
    assert end["code"] == 3 and not end.get("crash"), end
    assert not observer.events.matching("status", pid=worker.pid)
    assert os.listdir(observer.socket + ".crash") == []


@case("who is killed says nothing, because nobody can")
def _(room):
    observer, worker = hooked(room)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = how(observer, worker.pid)
    assert end["code"] == signal.SIGKILL and not end.get("crash"), end


@case("garbage in the place of a note is no note, and is removed")
def _(room):
    observer, worker = hooked(room)
    note = f"{observer.socket}.crash/{worker.pid}"
    with open(note, "wb") as file:
        file.write(b"\xff\x00 {\"crash\": 1}\n" * 9)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = how(observer, worker.pid)
    assert not end.get("crash"), end
    assert not os.path.exists(note)


@case("a pipe, a link or a directory in its place holds nothing up")
def _(room):
    observer = Observer(room)
    for make in (os.mkfifo, lambda path: os.symlink("/etc/passwd", path), os.mkdir):
        worker = Worker(observer.socket)
        observer.events.wait("first-beat", pid=worker.pid)
        make(f"{observer.socket}.crash/{worker.pid}")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert not how(observer, worker.pid).get("crash")
    assert observer.alive()


@case("a killed gate's successor reads the notes, too")
def _(room):
    observer, worker = hooked(room)
    observer.replace_role("gate")
    worker.tell("fault 8")
    worker.wait()
    assert "SIGSEGV" in how(observer, worker.pid)["crash"]


@case("a crash while there was no gate is told with its note by the next")
def _(room):
    observer, worker = hooked(room)
    gate = observer.role("gate")
    os.kill(gate, signal.SIGSTOP)
    worker.tell("fault 4096")
    worker.wait()
    os.kill(gate, signal.SIGKILL)
    end = observer.events.wait("end", pid=worker.pid)
    assert end["while_down"] is True and "SIGSEGV" in end["crash"], end


@case("a crash while there was no observer is told with its note by the next")
def _(room):
    observer, worker = hooked(room)
    observer.kill()
    worker.tell("fault 4096")
    worker.wait()
    observer.start()
    end = observer.events.wait("end", pid=worker.pid)
    assert end["while_down"] is True and "SIGSEGV" in end["crash"], end


@case("a note of who had its pid before is not its own")
def _(room):
    observer, worker = hooked(room)
    note = f"{observer.socket}.crash/{worker.pid}"
    os.unlink(note)
    with open(note, "w", encoding="ascii") as file:
        file.write("belay-crash 1\nsignal 11 SIGSEGV\ncode 1\naddress 0x0\npc 0x55aa\nthread 123\ntime 1700000000.000000042\n")
    os.chmod(note, 0o600)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = how(observer, worker.pid)
    assert not end.get("crash"), end
    assert not os.path.exists(note)


@case("people read it in a line of its own")
def _(room):
    observer, worker = hooked(room)
    worker.tell("fault 4096")
    worker.wait()
    how(observer, worker.pid)
    out = belay("events", "--socket", observer.socket, "-n", "50")[1]
    assert "killed by SIGSEGV (11): SIGSEGV" in out or "unknown: SIGSEGV" in out, out


if __name__ == "__main__":
    main()
