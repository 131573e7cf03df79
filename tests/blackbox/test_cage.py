#!/usr/bin/python3
"""What is left to each role once it runs: asked of the kernel, and tried."""
import pwd

from harness import *

SYS_PTRACE = 1 << 19
RUNNER = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 19  # DAC_OVERRIDE, KILL, SETGID, SETUID, SYS_PTRACE
SANITIZED = b"__asan_init" in open(OBSERVE, "rb").read()


def status(pid):
    """The fields of /proc/PID/status."""
    return dict(line.split(":", 1) for line in read_file(f"/proc/{pid}/status").splitlines())


def number(pid, key, base=10):
    return int(status(pid)[key].split()[0], base)


def uids(pid):
    return set(map(int, status(pid)["Uid"].split()))


def all_roles(observer):
    roles = {name: observer.role(name) for name in ("gate", "prober", "runner", "exporter") if observer.role(name)}
    if "--no-sandbox" not in observer.arguments:
        until(lambda: all(caged(pid) for name, pid in roles.items() if name != "runner"), "cages")
    return roles


def caged(pid):
    """Whether the role is in its cage: the exporter goes in when the parent has told it all."""
    return number(pid, "NoNewPrivs") == 1 and number(pid, "Seccomp") == (0 if SANITIZED else 2)


def own_capabilities():
    return number(os.getpid(), "CapBnd", 16)


@case("gate, prober and exporter are caged: no new privileges, and a filter on each thread")
def _(room):
    observer = Observer(room, on_stall="usr2")
    roles = all_roles(observer)
    assert sorted(roles) == ["exporter", "gate", "prober", "runner"], roles
    for name in ("gate", "prober", "exporter"):
        for task in os.listdir(f"/proc/{roles[name]}/task"):
            where = f"{roles[name]}/task/{task}"
            assert number(where, "NoNewPrivs") == 1, name
            assert number(where, "Seccomp") == (0 if SANITIZED else 2), name
    # Whatever the runner starts would inherit it.
    assert number(roles["runner"], "NoNewPrivs") == 0 and number(roles["runner"], "Seccomp") == 0


@case("of root's powers the gate and the exporter keep none, the prober one, the runner five")
def _(room):
    need_root()
    observer = Observer(room, on_stall="usr2")
    roles, bounding = all_roles(observer), own_capabilities()
    for name, kept in (("gate", 0), ("exporter", 0), ("prober", SYS_PTRACE), ("runner", RUNNER)):
        for key in ("CapEff", "CapPrm"):
            assert number(roles[name], key, 16) == kept & bounding, (name, key)
        assert number(roles[name], "CapInh", 16) == 0 and number(roles[name], "CapAmb", 16) == 0, name
        # A command that is to run as root gets all back: that is what it is for.
        assert number(roles[name], "CapBnd", 16) == (bounding if name == "runner" else kept & bounding), name


@case("with --user gate and exporter are that user, and all goes on: names, ends, verdicts, actions, numbers")
def _(room):
    need_root()
    nobody = pwd.getpwnam("nobody")
    observer = Observer(room, on_stall="usr2", arguments=["--user=nobody"])
    roles = all_roles(observer)
    for name in ("gate", "exporter"):
        assert uids(roles[name]) == {nobody.pw_uid}, (name, status(roles[name])["Uid"])
        assert set(map(int, status(roles[name])["Gid"].split())) == {nobody.pw_gid}
        assert status(roles[name])["Groups"].split() == [], name
        assert number(roles[name], "CapPrm", 16) == 0 and number(roles[name], "CapBnd", 16) == 0, name
    assert uids(roles["prober"]) == {0} and uids(roles["runner"]) == {0}

    child = Worker(observer.socket, env={"BELAY_NAME": "of-root"})
    observer.events.wait("first-beat", pid=child.pid, name="of-root", uid=0)
    # What the gate may not see or do, prober and runner do: evidence, and the signal.
    child.tell("deadlock")
    observer.events.wait("stall", pid=child.pid, name="of-root", verdict="blocked")
    observer.events.wait("action", pid=child.pid, outcome="signalled")
    observer.events.wait("end", pid=child.pid, end="killed")
    code, out, err = belay("metrics", "--socket", observer.socket)
    assert code == 0 and "of-root" in out, (code, out, err)


@case("a user that is not there is an error, and so is becoming one without being root")
def _(room):
    code, said = Observer(room, start=False, arguments=["--user=no-such-user"]).refuse()
    assert code != 0 and "no-such-user" in said, (code, said)
    if ROOT:
        code, said = Observer(room, start=False, name="other", user=NOBODY, arguments=["--user=daemon"]).refuse()
        assert code != 0 and "only root" in said, (code, said)
        # Who one is already, one need not become.
        os.chown(room.path, NOBODY, -1)
        observer = Observer(room, name="same", user=NOBODY, arguments=["--user=nobody"])
        assert uids(observer.gate()) == {NOBODY}


@case("with --no-sandbox nothing is given up, and the log says so once")
def _(room):
    observer = Observer(room, arguments=["--no-sandbox"], on_stall="usr2")
    for name, pid in all_roles(observer).items():
        assert number(pid, "NoNewPrivs") == 0 and number(pid, "Seccomp") == 0, name
        assert number(pid, "CapEff", 16) == number(os.getpid(), "CapEff", 16), name
    assert observer.log().count("--no-sandbox") == 1, observer.log()
    assert "not in a cage" in belay("doctor", "--socket", observer.socket)[1]


@case("a role that its cage killed is replaced, and the cage is named")
def _(room):
    observer = Observer(room)
    for name in ("prober", "gate"):
        mark, old = observer.events.mark(), until(lambda: observer.role(name), f"a {name}")
        os.kill(old, signal.SIGSYS)
        told = observer.events.wait("observer", since=mark, what="role-ended")
        assert "signal 31" in told["text"] and "cage" in told["text"] and "--no-sandbox" in told["text"], told
        until(lambda: observer.role(name) not in (0, old), f"another {name}")
        until(lambda: caged(observer.role(name)), "its cage")
    observer.counters()


@case("a prober that is stuck holds up nobody: processes are let in, by what anybody may see of them")
def _(room):
    observer = Observer(room)
    stuck = until(lambda: observer.role("prober"), "a prober")
    os.kill(stuck, signal.SIGSTOP)
    began = time.monotonic()
    child = Worker(observer.socket, env={"BELAY_NAME": "unseen"})
    observer.events.wait("first-beat", pid=child.pid)
    assert time.monotonic() - began < 2
    os.kill(stuck, signal.SIGCONT)
    # Its namespace and its name are asked for again, until they are known.
    row = lambda: observer.rows(str(child.pid))[0]
    until(lambda: row().get("origin") == "kernel-attested" and row()["name"] == "unseen", lambda: observer.rows())
    assert observer.role("prober") == stuck


@case("a prober that stays stuck is killed and replaced, and its successor tells what it did not")
def _(room):
    observer = Observer(room)
    stuck = until(lambda: observer.role("prober"), "a prober")
    os.kill(stuck, signal.SIGSTOP)
    child = Worker(observer.socket, env={"BELAY_NAME": "unseen"})
    observer.events.wait("first-beat", pid=child.pid)
    if not SANITIZED:
        observer.events.wait("observer", what="role-ended")
        until(lambda: observer.role("prober") not in (0, stuck), "another prober")
        assert "the prober does not answer" in observer.log(), observer.log()
    else:
        os.kill(stuck, signal.SIGCONT)
    until(lambda: observer.rows(str(child.pid))[0]["name"] == "unseen", lambda: observer.rows())


@case("doctor says how the roles are caged")
def _(room):
    observer = Observer(room)
    code, out, err = belay("doctor", "--socket", observer.socket)
    assert "sandbox" in out, (code, out, err)
    if not SANITIZED:
        assert re.search(r"the gate has \d+ system calls", out) and "the gate runs as uid" in out, out


main()
