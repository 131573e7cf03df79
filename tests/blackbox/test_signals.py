#!/usr/bin/python3
"""Signals, the service manager, and configuration."""
import os
import signal
import socket

from harness import *


class Manager:
    """A service manager's notification socket."""

    def __init__(self, room, abstract=False):
        self.path = f"\0belay-bb-{os.getpid()}" if abstract else room.file("notify")
        self.name = self.path.replace("\0", "@")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE)
        self.said = []

    def wait(self, word):
        while True:
            text = self.socket.recv(4096).decode()
            self.said.append(text)
            if any(line.startswith(word) for line in text.split("\n")):
                return text


@case("READY and STATUS are told when the socket can be used, STOPPING when it ends")
def _(room):
    manager = Manager(room)
    observer = Observer(room, start=False, env={"NOTIFY_SOCKET": manager.name})
    observer.launch()
    ready = manager.wait("READY=1")
    assert "STATUS=" in ready and observer.socket in ready, ready
    Sender(observer.socket).beat()
    observer.events.wait("first-beat", pid=os.getpid())
    observer.process.send_signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    assert observer.process.wait(PATIENCE) == 0
    assert not any("WATCHDOG" in text for text in manager.said), manager.said


@case("an abstract notification socket works too")
def _(room):
    manager = Manager(room, abstract=True)
    Observer(room, start=False, env={"NOTIFY_SOCKET": manager.name}).launch()
    manager.wait("READY=1")


@case("WATCHDOG is told as long as the gate makes progress, and not when it hangs")
def _(room):
    manager = Manager(room)
    observer = Observer(room, env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    for _ in range(3):
        manager.wait("WATCHDOG=1")
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    until(lambda: process_state(gate) == "T", "a stopped gate")
    manager.socket.settimeout(0.6)
    said = 0
    try:
        while True:
            said += "WATCHDOG=1" in manager.socket.recv(4096).decode()
    except TimeoutError:
        pass
    assert said <= 1, said
    os.kill(gate, signal.SIGCONT)
    manager.socket.settimeout(PATIENCE)
    manager.wait("WATCHDOG=1")


@case("a notification socket of which nobody reads does no harm")
def _(room):
    observer = Observer(room, env={"NOTIFY_SOCKET": room.file("nobody"), "WATCHDOG_USEC": "100000"})
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert observer.stop() == 0


@case("SIGTERM ends it with status 0 and leaves no socket")
def _(room):
    for number in (signal.SIGTERM, signal.SIGINT):
        observer = Observer(room)
        worker = Worker(observer.socket)
        observer.events.wait("first-beat", pid=worker.pid)
        roles = children_of(observer.pid)
        mark = observer.events.mark()
        assert observer.stop(number) == 0
        observer.events.wait("observer", since=mark, what="stopping")
        assert not os.path.exists(observer.socket) and not os.path.exists(observer.socket + ".hello")
        assert not any(alive(pid) for pid in roles)


@case("a second SIGTERM ends it although the gate hangs")
def _(room):
    observer = Observer(room)
    roles = children_of(observer.pid)
    os.kill(observer.gate(), signal.SIGSTOP)
    observer.process.send_signal(signal.SIGTERM)
    until(lambda: "SigQ" in read_file(f"/proc/{observer.pid}/status") and observer.alive(), "the observer")
    deadline = time.monotonic() + 0.3
    until(lambda: time.monotonic() > deadline, "the first signal to be seen")
    assert observer.alive()
    observer.process.send_signal(signal.SIGTERM)
    observer.process.wait(3)
    until(lambda: not any(alive(pid) for pid in roles), "the roles' end")
    assert not os.path.exists(observer.socket)


@case("one SIGTERM is enough in the end, although the gate hangs")
def _(room):
    observer = Observer(room)
    os.kill(observer.gate(), signal.SIGSTOP)
    observer.process.send_signal(signal.SIGTERM)
    observer.process.wait(10)
    assert not os.path.exists(observer.socket)


@case("Ctrl-C at a terminal, which all roles get, ends it nicely")
def _(room):
    observer = Observer(room)
    mark = observer.events.mark()
    os.killpg(observer.pid, signal.SIGINT)
    assert observer.process.wait(PATIENCE) == 0
    observer.events.wait("observer", since=mark, what="stopping")
    assert not os.path.exists(observer.socket)


@case("shutdown-after-secs ends it by itself")
def _(room):
    observer = Observer(room, shutdown_after_secs=1)
    assert observer.process.wait(PATIENCE) == 0


@case("SIGHUP takes over new thresholds and says what changed")
def _(room):
    config = room.write("c.conf", "[process blackbox]\ncomm = blackbox-*\nthreshold = 1h\n")
    observer = Observer(room, config=config, threshold="1h")
    worker = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=worker.pid)
    room.write("c.conf", "[process blackbox]\ncomm = blackbox-*\nthreshold = 300ms\n")
    observer.process.send_signal(signal.SIGHUP)
    event = observer.events.wait("observer", what="reloaded")
    assert "threshold" in event["text"], event
    observer.events.wait("stall", pid=worker.pid)
    assert observer.rows(str(worker.pid))[0]["threshold_s"] == 0.3


@case("SIGHUP says all that changed in one line, and what needs a restart")
def _(room):
    config = room.write("c.conf", "[observe]\nthreshold = 1h\n")
    observer = Observer(room, config=config, threshold=None)
    room.write("c.conf", "[observe]\nthreshold = 2h\nmax-beat-rate = 7\non-stall = report\ncapacity = 64\n"
               f"recovery-audit-file = {room.path}/audit\n[process web]\nexpect = 1\n")
    observer.process.send_signal(signal.SIGHUP)
    text = observer.events.wait("observer", what="reloaded")["text"]
    said = [part.strip() for part in text.split(";")]
    assert {"capacity: needs a restart", "recovery-audit-file: needs a restart", "threshold: 1h -> 2h", "max-beat-rate: 100 -> 7",
            "process web: added"} <= set(said), text
    assert any(part.startswith("on-stall:") for part in said) and "\n" not in text, text


@case("SIGHUP with a bad configuration changes nothing and says where the error is")
def _(room):
    config = room.write("c.conf", "[process blackbox]\ncomm = blackbox-*\nthreshold = 1h\n")
    observer = Observer(room, config=config, threshold="1h")
    worker = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=worker.pid)
    room.write("c.conf", "[process blackbox]\ncomm = blackbox-*\nthreshold = 300ms\nthreshhold = 5s\n")
    observer.process.send_signal(signal.SIGHUP)
    until(lambda: "c.conf:4" in observer.log(), "the error")
    assert "threshold" in observer.log().split("c.conf:4")[1]
    assert observer.rows(str(worker.pid))[0]["threshold_s"] == 3600
    assert not observer.events.matching("observer", what="reloaded")


@case("SIGHUP with nothing new says so, and reopens the event file")
def _(room):
    observer = Observer(room)
    os.rename(observer.events_path, observer.events_path + ".moved")
    observer.process.send_signal(signal.SIGHUP)
    until(lambda: os.path.exists(observer.events_path), "a new event file")
    worker = Worker(observer.socket)
    Events(observer.events_path).wait("first-beat", pid=worker.pid)


@case("errors in a configuration name the file and the line")
def _(room):
    for number, (text, line, word) in enumerate((
            ("[observe]\nthreshold = 5s\ncapasity = 5\n", 3, "capacity"),
            ("[observe]\nthreshold = soon\n", 2, "threshold"),
            ("[observe]\ncapacity = 0\n", 2, "capacity"),
            ("[nonsense]\n", 1, "nonsense"),
            ("[process web]\nexpect = many\n", 2, "expect"),
            ("[observe]\nthreshold 5s\n", 2, ""))):
        config = room.write(f"{number}.conf", text)
        code, said = Observer(room, start=False, config=config, threshold=None).refuse()
        assert code == 2, (code, said)
        assert f"{config}:{line}" in said and word in said, said


@case("an option that does not exist is refused with the nearest one")
def _(room):
    code, said = Observer(room, start=False, arguments=["--treshold=5s"]).refuse()
    assert code == 2 and "--threshold" in said, (code, said)
    code, said = Observer(room, start=False, arguments=["--capacity", "0"]).refuse()
    assert code == 2 and "capacity" in said, (code, said)


@case("a configuration file that does not exist, or that others may write, is refused")
def _(room):
    code, said = Observer(room, start=False, config=room.file("none.conf")).refuse()
    assert code != 0 and "none.conf" in said, (code, said)
    need_root()
    config = room.write("c.conf", "[observe]\nthreshold = 5s\n")
    os.chmod(config, 0o666)
    code, said = Observer(room, start=False, config=config).refuse()
    assert code != 0 and "c.conf" in said, (code, said)


def activated(room, *sockets):
    """An observer that got SOCKETS from its service manager."""
    def place():
        fds = [s.fileno() for s in sockets]
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        for number, fd in enumerate(copies):
            os.dup2(fd, 3 + number)
        os.environ["LISTEN_PID"] = str(os.getpid())
    script = 'export LISTEN_PID=$$; exec "$0" "$@"'
    observer = Observer(room, start=False, socket=None)
    observer.env = {"LISTEN_FDS": str(len(sockets))}
    given = observer.command()
    log = os.open(observer.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    observer.process = subprocess.Popen(["/bin/sh", "-c", script] + given, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env=clean_environment(**observer.env), preexec_fn=place, close_fds=False,
                                        start_new_session=True)
    os.close(log)
    return observer


@case("sockets passed by a service manager are used, and left in place")
def _(room):
    beats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    hello = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = room.file("passed.sock")
    os.umask(0o077)
    beats.bind(path)
    hello.bind(path + ".hello")
    hello.listen(64)
    sender = Sender(path)
    sender.beat()
    observer = activated(room, beats, hello)
    # Nobody asked the kernel who sent what was queued before: it is refused, not believed.
    observer.events.wait("observer", what="started")
    observer.events.wait("refused", reason="pid_unattested")
    sender.beat()
    observer.events.wait("first-beat", pid=os.getpid())
    row = status_rows(path)[0]
    assert row["pid"] == os.getpid() and row["origin"] == "kernel-attested", row
    observer.process.send_signal(signal.SIGTERM)
    assert observer.process.wait(PATIENCE) == 0
    assert os.path.exists(path), "the service manager's socket was removed"


@case("a passed socket of the wrong kind is refused with a sentence")
def _(room):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.bind(room.file("x.sock"))
    stream.listen()
    observer = activated(room, stream)
    assert observer.process.wait(PATIENCE) not in (0, -6, -11)
    assert "socket" in observer.log(), observer.log()


@case("lines on standard error can be JSON, one object each")
def _(room):
    observer = Observer(room, log_format="json")
    worker = Worker(observer.socket)
    worker.tell("exit 0")
    observer.events.wait("end", pid=worker.pid)
    until(lambda: observer.log().count("\n") >= 3, "log lines")
    for line in observer.log().splitlines():
        assert isinstance(json.loads(line), dict), line


@case("with a journal, lines start with their level")
def _(room):
    path = room.file("stream")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen()
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.connect(path)
    theirs = server.accept()[0]
    status = os.fstat(ours.fileno())
    process = subprocess.Popen(Observer(room, start=False).command(), stdin=subprocess.DEVNULL, stderr=ours,
                               env=clean_environment(JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}"), start_new_session=True)
    theirs.settimeout(PATIENCE)
    text = b""
    while text.count(b"\n") < 1:
        text += theirs.recv(4096)
    process.terminate()
    process.wait()
    assert re.match(rb"<[3-6]>", text), text


if __name__ == "__main__":
    main()
