#!/usr/bin/python3
"""Processes of other pid namespaces: refused unless allowed, never mistaken for one of ours."""
import os
import signal

from harness import *

CLONE_NEWPID = 0x20000000


class Inside:
    """A process in a pid namespace of its own, which sends the frames it is told to."""

    def __init__(self, path):
        need_root()

        def run(tell, told):
            if libc.unshare(CLONE_NEWPID) != 0:
                tell("no namespace")
                return 0
            first = os.fork()
            if first == 0:
                # Pid 1 there; what beats is the next.
                second = os.fork()
                if second == 0:
                    sender = Sender(path)
                    tell(f"pid {os.getpid()}")
                    while (word := told()) not in ("", "exit"):
                        nonce, pid = word.split()
                        sender.send(frame(int(nonce), pid=int(pid)))
                        tell("sent")
                    os._exit(0)
                os.waitpid(second, 0)
                os._exit(0)
            tell(f"first {first}")
            os.waitpid(first, 0)
            return 0
        self.child = Child(run)
        said = {}
        for _ in range(2):
            word = self.child.hear()
            if word == "no namespace":
                raise Skip("pid namespaces are not permitted here")
            said.update([word.split()])
        self.inner = int(said["pid"])
        self.outer = until(lambda: children_of(int(said["first"])), "the process inside")[0]

    def send(self, nonce, pid):
        self.child.say(f"{nonce} {pid}")
        assert self.child.hear() == "sent"


@case("a process of another pid namespace is refused, whichever pid it claims")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    inside = Inside(observer.socket)
    assert inside.inner != inside.outer
    inside.send(1, inside.inner)
    observer.events.wait("refused", reason="pid_mismatch")
    inside.send(1, inside.outer)
    observer.events.wait("refused", reason="namespace_conflict")
    assert observer.counter("frame_namespace_mismatch_total") == 1
    assert observer.rows() == [] and observer.alive()


@case("where it is allowed, a process of another pid namespace may claim its own pid, and no other")
def _(room):
    observer = Observer(room, arguments=["--allow-cross-namespace-agents"], max_beat_rate=0)
    inside = Inside(observer.socket)
    inside.send(1, inside.inner)
    observer.events.wait("first-beat", pid=inside.outer)
    inside.send(2, inside.inner + 1)
    observer.events.wait("refused", reason="pid_mismatch")
    row = observer.rows(str(inside.outer))[0]
    assert row["beats"] == 1 and row["pid"] == inside.outer, row
    inside.child.say("exit")
    observer.events.wait("end", pid=inside.outer)


@case("with a strict check the first process of another pid namespace ends the observer with an error")
def _(room):
    observer = Observer(room, arguments=["--strict-namespace-check"], max_beat_rate=0)
    inside = Inside(observer.socket)
    inside.send(1, inside.outer)
    assert observer.process.wait(PATIENCE) > 0
    assert "namespace" in observer.log()
    assert not os.path.exists(observer.socket)


@case("a sender that has no pid in the observer's namespace is refused as unattested")
def _(room):
    need_root()
    observer = Observer(room, start=False, max_beat_rate=0)
    given = observer.command()

    def launch():
        log = os.open(observer.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        observer.process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *given],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(), start_new_session=True)
        os.close(log)
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("unshare is not permitted here")
    launch()
    observer.events.wait("observer", what="started")
    sender = Sender(observer.socket)
    for nonce in range(1, 4):
        sender.send(frame(nonce))
    refused = observer.events.wait("refused", reason="pid_unattested")
    assert refused["count"] >= 1, refused
    with Door(observer.socket) as door:
        code, _, rows = door.ask(COUNTERS)
    assert code == 0 and rows[0]["frame_pid_unattested_total"] == 3 and rows[0]["beats_total"] == 0, rows


if __name__ == "__main__":
    main()
