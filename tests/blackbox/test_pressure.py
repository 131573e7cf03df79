#!/usr/bin/python3
"""When descriptors, disk space or permissions run out."""
import errno
import os
import resource
import signal
import stat

from harness import *


def few_descriptors(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


@case("with too few descriptors processes are watched without, counted, and their end is noticed at the deadline", limit=80)
def _(room):
    observer = Observer(room, threshold="2s", preexec=few_descriptors(40), capacity=200)
    workers = [Worker(observer.socket, 100) for _ in range(60)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    missing = observer.counter("pidfds_missing_total")
    assert 20 <= missing <= 60, missing
    assert observer.counter("watch_pids_tracked") == 60
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    for worker in workers:
        observer.events.wait("end", pid=worker.pid)
    for worker in workers:
        assert len(observer.ends(pid=worker.pid)) == 1
    assert not observer.stalls(), observer.stalls()
    assert observer.alive() and ask(observer.socket, PING)[0] == 0


@case("with too few descriptors verdicts are still given")
def _(room):
    observer = Observer(room, threshold="2s", preexec=few_descriptors(30))
    workers = [Worker(observer.socket, 100) for _ in range(40)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    workers[-1].stop()
    stall = observer.events.wait("stall", pid=workers[-1].pid)
    assert stall["verdict"] == "stopped", stall


@case("with hardly any descriptors it starts or says why not")
def _(room):
    for count in range(4, 30, 2):
        observer = Observer(room, start=False, name=f"n{count}", preexec=few_descriptors(count), state="none")
        observer.launch()
        until(lambda o=observer: not o.alive() or o.events.matching("observer", what="started") or "started" in o.log(),
              lambda o=observer, n=count: f"a decision with {n} descriptors: {o.log()}")
        if observer.alive():
            Sender(observer.socket).beat()
            assert observer.stop() == 0, count
        else:
            assert observer.process.returncode > 0, (count, observer.process.returncode, observer.log())
            assert observer.log().strip(), count


def tiny_disk(room, size="64k"):
    """A mounted file system of SIZE; unmounted with the mount namespace."""
    need_root()
    if libc.unshare(0x00020000) != 0 or libc.mount(b"none", b"/", None, 0x44000, None) != 0:
        raise Skip("no mount namespace of our own")
    path = room.file("disk")
    os.mkdir(path, 0o700)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={size},mode=0700".encode()) != 0:
        raise Skip("a tmpfs cannot be mounted")
    room.mounted.append(path)
    return path


def fill(path):
    with open(os.path.join(path, "filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC


@case("a full disk under the event file loses lines, not processes, and it recovers")
def _(room):
    disk = tiny_disk(room)
    observer = Observer(room, start=False, events=os.path.join(disk, "events.jsonl"), threshold="300ms")
    observer.start()
    fill(disk)
    # Lines until the file's last page is full.
    for _ in range(60):
        worker = Worker(observer.socket, 50)
        worker.tell("exit 0")
        worker.wait()
    lost = until(lambda: ask(observer.socket, SELF)[2][0]["events_lost"], "lost lines")
    assert lost > 0
    worker = Worker(observer.socket, 50)
    until(lambda: observer.rows(str(worker.pid)), "a beat")
    worker.stop()
    until(lambda: observer.rows(str(worker.pid))[0]["state"] == "stalled", "a stall, although it cannot be written")
    os.unlink(os.path.join(disk, "filler"))
    worker.send_signal(signal.SIGCONT)
    observer.events.wait("recovered", pid=worker.pid)
    assert observer.events.torn <= 1, "the line that met the end of the disk is ended, and nothing else is torn"


@case("a full disk under the state file: it says so and runs without")
def _(room):
    disk = tiny_disk(room, "16k")
    observer = Observer(room, state=os.path.join(disk, "x.state"))
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert "x.state" in observer.log() or observer.events.matching("observer", what="no-state"), observer.log()
    assert ask(observer.socket, SELF)[2][0]["state_file"] is None


@case("a full disk where the socket is to be: it works or says why not")
def _(room):
    disk = tiny_disk(room, "16k")
    fill(disk)
    observer = Observer(room, start=False, socket=os.path.join(disk, "beat.sock"), state=os.path.join(disk, "s"),
                        events=os.path.join(disk, "e.jsonl"))
    observer.launch()
    until(lambda: not observer.alive() or "started" in observer.log(), observer.log)
    if not observer.alive():
        assert observer.process.returncode > 0 and observer.log().strip()
        return
    worker = Worker(os.path.join(disk, "beat.sock"))
    until(lambda: status_rows(os.path.join(disk, "beat.sock"), str(worker.pid)), "a beat")
    assert observer.stop() == 0


@case("a limit on file sizes loses lines and kills nobody")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, state="none", preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    for _ in range(30):
        worker = Worker(observer.socket)
        worker.tell("exit 0")
        worker.wait()
    gate = observer.roles()["gate"]
    assert ask(observer.socket, SELF)[2][0]["roles"][0]["restarts"] == 0
    assert os.path.getsize(observer.events_path) <= 4096
    worker = Worker(observer.socket)
    until(lambda: observer.rows(str(worker.pid)), "a beat")
    assert observer.gate() == gate


@case("a limit on file sizes that is too small for the state: it says so and runs without")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert ask(observer.socket, SELF)[2][0]["state_file"] is None


@case("an event file or state that cannot be written: it says so and runs without")
def _(room):
    if ROOT:
        os.mkdir(room.file("closed"))
        os.mkdir(room.file("closed/e.jsonl"))
        os.mkdir(room.file("closed/s"))
    else:
        os.mkdir(room.file("closed"), 0o500)
    observer = Observer(room, start=False, events=room.file("closed/e.jsonl"), state=room.file("closed/s"))
    observer.launch()
    until(lambda: not observer.alive() or "started" in observer.log(), observer.log)
    assert observer.alive(), observer.log()
    assert "e.jsonl" in observer.log() and "closed/s" in observer.log(), observer.log()
    worker = Worker(observer.socket)
    until(lambda: observer.rows(str(worker.pid)), "a beat")
    row = ask(observer.socket, SELF)[2][0]
    assert row["events_file"] is None and row["state_file"] is None, row


def with_log(room, fd, **options):
    """An observer whose standard error is FD."""
    observer = Observer(room, start=False, **options)
    observer.process = subprocess.Popen(observer.command(), stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, env=clean_environment(),
                                        start_new_session=True)
    observer.events.wait("observer", what="started")
    return observer


@case("a log that nobody reads holds up nobody, and what is lost of it is counted")
def _(room):
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, 1031, 4096)  # F_SETPIPE_SZ
    observer = with_log(room, theirs, max_beat_rate=0, threshold="2s")
    worker = Worker(observer.socket, 100)
    sender = Sender(observer.socket)
    for nonce in range(1, 500):
        sender.send(frame(nonce, status=nonce % 3))
    until(lambda: observer.rows(str(os.getpid()))[0]["nonce"] == 499, "all beats")
    worker.stop()
    observer.events.wait("stall", pid=worker.pid)
    assert ask(observer.socket, SELF)[2][0]["log_dropped"] > 0
    assert observer.stop() == 0
    os.close(ours)


@case("a log whose reader went away ends nobody")
def _(room):
    ours, theirs = os.pipe()
    observer = with_log(room, theirs)
    os.close(ours)
    os.close(theirs)
    gate = observer.gate()
    worker = Worker(observer.socket)
    worker.tell("exit 0")
    observer.events.wait("end", pid=worker.pid)
    assert observer.gate() == gate and observer.alive()
    assert observer.stop() == 0


@case("standard streams that are closed are no trap")
def _(room):
    observer = Observer(room, start=False)
    command = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-'] + observer.command()
    observer.process = subprocess.Popen(command, env=clean_environment(), start_new_session=True)
    observer.events.wait("observer", what="started")
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert observer.stop() == 0
    for path in (observer.events_path, observer.state):
        if os.path.exists(path):
            with open(path, "rb") as file:
                assert b"belay: " not in file.read(), f"a log line went into {path}"


@case("a pipe without a reader in place of a file holds up nobody")
def _(room):
    for name, option in (("e.fifo", "events"), ("s.fifo", "state"), ("c.fifo", "config")):
        os.mkfifo(room.file(name), 0o600)
        observer = Observer(room, start=False, name=option, **{option: room.file(name)})
        observer.launch()
        until(lambda o=observer: not o.alive() or "started" in o.log(), lambda n=name, o=observer: f"a decision about {n}: {o.log()}", 5)
        assert name in observer.log(), observer.log()
        if observer.alive():
            observer.stop()
        assert observer.process.returncode >= 0


@case("the event file is rotated at its size, and no line is lost or cut", limit=60)
def _(room):
    observer = Observer(room, threshold="1h", max_beat_rate=0, global_beat_rate=0)
    sender = Sender(observer.socket)
    sender.socket.settimeout(PATIENCE)
    nonce, size = 0, 0
    # Changes of status are lines of about 220 bytes; 8 MiB are 40,000.
    while not os.path.exists(observer.events_path + ".1"):
        for _ in range(500):
            nonce += 1
            sender.send(frame(nonce, status=nonce % 3))
        assert nonce < 120000, "no rotation"
    until(lambda: observer.rows(str(os.getpid()))[0]["nonce"] == nonce, "all beats")
    observer.stop()
    numbers = []
    for path in (observer.events_path + ".1", observer.events_path):
        for line in read_file(path).splitlines():
            numbers.append(json.loads(line)["seq"])
        size += os.path.getsize(path)
    assert numbers == list(range(1, len(numbers) + 1)), "lines are missing"
    # Some lines are written while the next file is on its way.
    assert os.path.getsize(observer.events_path + ".1") <= 9 << 20
    assert stat.S_IMODE(os.stat(observer.events_path).st_mode) == 0o600


if __name__ == "__main__":
    main()
