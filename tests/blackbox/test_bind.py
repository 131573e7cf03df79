#!/usr/bin/python3
"""Where an observer binds, what it takes over, and what it refuses to touch."""
import os
import signal
import socket
import stat

from harness import *

SO_SNDBUFFORCE = 32


def works(observer):
    """Whether a beat sent to OBSERVER arrives."""
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    worker.tell("exit 0")
    worker.wait()


def refused(room, word="", **options):
    """What an observer says that refuses to start; nothing is left behind by it."""
    observer = Observer(room, start=False, **options)
    code, said = observer.refuse()
    assert code > 0 and code != 99, (code, said)
    assert word in said, said
    return code, said


@case("socket and door are born with the mode asked for")
def _(room):
    for mode in (0o600, 0o660, 0o666):
        observer = Observer(room, socket_mode=f"{mode:04o}", name=f"m{mode:o}")
        for path in (observer.socket, observer.socket + ".hello"):
            assert stat.S_IMODE(os.lstat(path).st_mode) == mode, oct(os.lstat(path).st_mode)
    observer = Observer(room, name="default")
    assert stat.S_IMODE(os.lstat(observer.socket).st_mode) == 0o600


@case("the files beside the socket are closed to others")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, preexec=lambda: os.umask(0))
    for path in (observer.state, observer.events_path):
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600, path


def twins(room, number):
    """Two observers of one socket, started at once."""
    name, pair = f"twin{number}", []
    for i in range(2):
        twin = Observer(room, start=False, name=name, events=room.file(f"{name}.{i}.jsonl"), state="none")
        twin.log_path = room.file(f"{name}.{i}.log")
        pair.append(twin)
    for twin in pair:
        twin.launch()
    return pair


@case("two observers started at once leave exactly one, twenty times", limit=90)
def _(room):
    for batch in range(4):
        for pair in [twins(room, 5 * batch + i) for i in range(5)]:
            def settled(pair=pair):
                ended = [twin for twin in pair if not twin.alive()]
                ready = [twin for twin in pair if twin.events.matching("observer", what="started")]
                return len(ended) == 1 and len(ready) == 1
            until(settled, lambda p=pair: str([twin.log() for twin in p]))
            winner, loser = sorted(pair, key=lambda twin: not twin.alive())
            assert loser.process.returncode > 0 and winner.alive()
            assert loser.log().strip(), "the loser said nothing"
            Sender(winner.socket).beat()
            winner.events.wait("first-beat", pid=os.getpid())
            assert winner.stop() == 0


@case("a second observer is refused, and the first goes on")
def _(room):
    observer = Observer(room)
    code, said = refused(room)
    assert observer.socket in said, said
    works(observer)
    assert observer.alive()


@case("a socket that a killed observer left is taken over")
def _(room):
    observer = Observer(room)
    observer.kill()
    assert stat.S_ISSOCK(os.lstat(observer.socket).st_mode)
    observer.start()
    works(observer)


@case("a socket on which somebody else listens is not taken")
def _(room):
    path = room.file("beat.sock")
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(path)
    inode = os.lstat(path).st_ino
    refused(room, path)
    assert os.lstat(path).st_ino == inode
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(path)


@case("what is no socket is neither taken nor removed")
def _(room):
    path = room.file("beat.sock")
    target = room.write("target", "precious")
    makers = {
        "file": lambda: room.write("beat.sock", "precious"),
        "symlink": lambda: os.symlink(target, path),
        "dangling symlink": lambda: os.symlink(room.file("nothing"), path),
        "directory": lambda: os.mkdir(path),
        "fifo": lambda: os.mkfifo(path),
        "hard link": lambda: os.link(target, path),
    }
    for kind, make in makers.items():
        make()
        before = os.lstat(path)
        refused(room, path)
        after = os.lstat(path)
        assert (before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size), kind
        (os.rmdir if kind == "directory" else os.unlink)(path)
    assert read_file(target) == "precious" and not os.path.exists(room.file("nothing"))


def clear(room):
    """Removes what an observer, and a case before it, left; the target stays."""
    for name in os.listdir(room.path):
        if name.startswith("beat."):
            os.unlink(room.file(name))


@case("a link in place of the door, the state, the events or the lock is not followed")
def _(room):
    room.need_tmpfs()
    target = room.write("target", "precious")
    for name in ("beat.sock.hello", "beat.state", "beat.jsonl", "beat.sock.lock"):
        clear(room)
        os.symlink(target, room.file(name))
        observer = Observer(room, start=False)
        observer.launch()
        # It refuses, or it runs without; what lies behind the link is never touched.
        until(lambda o=observer: not o.alive() or "started" in o.log(), "a decision")
        if observer.alive():
            Sender(observer.socket).beat()
            until(lambda o=observer: o.counter("beats_total") == 1, "a beat")
            observer.stop()
        else:
            assert observer.process.returncode > 0, observer.process.returncode
        assert read_file(target) == "precious", name
        assert "beat." in observer.log(), name


@case("a hard link in place of the state or the events is not written to")
def _(room):
    room.need_tmpfs()
    for name in ("beat.state", "beat.jsonl"):
        clear(room)
        target = room.write("target", "precious")
        os.link(target, room.file(name))
        observer = Observer(room, start=False)
        observer.launch()
        until(lambda o=observer: not o.alive() or "started" in o.log(), "a decision")
        if observer.alive():
            Sender(observer.socket).beat()
            until(lambda o=observer: o.counter("beats_total") == 1, "a beat")
            observer.stop()
        assert read_file(target) == "precious", name


@case("a directory that others may write is refused unless it is sticky")
def _(room):
    path = room.file("shared")
    os.mkdir(path)
    for mode, good in ((0o770, False), (0o707, False), (0o777, False), (0o1777, True), (0o755, True), (0o700, True)):
        os.chmod(path, mode)
        options = dict(socket=os.path.join(path, "beat.sock"), state="none")
        if good:
            observer = Observer(room, **options)
            observer.stop()
        else:
            refused(room, "shared", **options)
            assert os.listdir(path) == [], os.listdir(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(path, "beat.sock.lock"))


@case("a directory of another user is refused")
def _(room):
    need_root()
    path = room.file("foreign")
    os.mkdir(path, 0o755)
    os.chown(path, NOBODY, NOBODY)
    refused(room, "foreign", socket=os.path.join(path, "beat.sock"), state="none")
    assert os.listdir(path) == []


@case("a link in place of the directory is refused")
def _(room):
    os.mkdir(room.file("real"))
    os.symlink(room.file("real"), room.file("link"))
    refused(room, "link", socket=room.file("link/beat.sock"), state="none")


@case("a directory that does not exist, or may not be written, is named")
def _(room):
    refused(room, "nowhere", socket=room.file("nowhere/beat.sock"), state="none")
    if ROOT:
        return
    os.mkdir(room.file("closed"), 0o500)
    code, _ = refused(room, "closed", socket=room.file("closed/beat.sock"), state="none")
    assert code == 77, code


@case("a path that is too long for a socket is refused")
def _(room):
    for length in (108, 109, 200, 4000):
        path = "/" + "x" * (length - 1)
        code, _ = refused(room, "", socket=path, state="none")
        assert code == 2, code


@case("only its own socket is removed at the end")
def _(room):
    observer = Observer(room)
    os.unlink(observer.socket)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(observer.socket)
    assert observer.stop() == 0
    assert stat.S_ISSOCK(os.lstat(observer.socket).st_mode)


@case("a file that replaced the socket survives the end")
def _(room):
    observer = Observer(room)
    os.unlink(observer.socket)
    room.write("beat.sock", "precious")
    assert observer.stop() == 0
    assert read_file(observer.socket) == "precious"
    assert not os.path.exists(observer.socket + ".hello")


@case("the default socket is made below XDG_RUNTIME_DIR, with its directory")
def _(room):
    os.mkdir(room.file("run"), 0o700)
    if ROOT:
        raise Skip("root's default is /run/belay")
    observer = Observer(room, start=False, socket=None, state="none", env={"XDG_RUNTIME_DIR": room.file("run")})
    observer.start()
    path = room.file("run/belay/beat.sock")
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    worker = Worker(path)
    observer.events.wait("first-beat", pid=worker.pid)


@case("BELAY_SOCKET is where an observer binds that is told nothing else")
def _(room):
    observer = Observer(room, start=False, socket=None, env={"BELAY_SOCKET": room.file("env.sock")})
    observer.start()
    worker = Worker(room.file("env.sock"))
    observer.events.wait("first-beat", pid=worker.pid)


@case("the kernel's queue can be made longer where that is permitted, and is left as it was")
def _(room):
    knob = "/proc/sys/net/unix/max_dgram_qlen"
    if not os.access(knob, os.W_OK):
        raise Skip(f"{knob} may not be written")
    before = read_file(knob)
    observer = Observer(room, dgram_qlen=300)
    assert read_file(knob) == before
    row = ask(observer.socket, SELF)[2][0]
    assert row["queue_frames"] == 301, row
    os.kill(observer.gate(), signal.SIGSTOP)
    sender = Sender(observer.socket)
    sender.socket.setblocking(False)
    sender.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.beat()
            sent += 1
    os.kill(observer.gate(), signal.SIGCONT)
    assert sent >= 290, sent


if __name__ == "__main__":
    main()
