#!/usr/bin/python3
"""What is done about silences and ends: commands, ladders, as whom, what is refused, and what a crash leaves behind."""
import os
import signal

from harness import *

REQUIRED = {"PATH", "BELAY_PID", "BELAY_NAME", "BELAY_VERDICT", "BELAY_STATUS", "BELAY_EVIDENCE", "BELAY_UID", "BELAY_RULE",
            "BELAY_PIDFD"}


def silent_worker(observer, name=None, **options):
    """A worker that has beaten once and is silent from now on."""
    return Worker(observer.socket, 0, env={"BELAY_NAME": name} if name else None, **options)


def ignoring(*numbers):
    def ignore():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
    return ignore


def wait_action(observer, worker, outcome, **members):
    """The event of an action's OUTCOME; what was withheld is told when it does not come."""
    try:
        return observer.events.wait("action", pid=worker.pid, outcome=outcome, **members)
    except AssertionError:
        raise AssertionError(f"no {outcome} {members} of {worker.pid}: {observer.actions()} {observer.withheld()}") from None


def rules(room, *sections, name="c.conf", mode=0o600):
    """A configuration file of [process NAME] sections, each a name and its lines."""
    return room.write(name, "".join(f"[process {name}]\n" + "".join(f"{line}\n" for line in lines) for name, *lines in sections), mode)


# --- commands ------------------------------------------------------------------------------------------------------

@case("one silence is signalled once, however often the observer is replaced")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="300ms", on_stall="usr2")

    def deaf():
        return Worker(observer.socket, 0, preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
    worker = deaf()
    observer.events.wait("action", pid=worker.pid, outcome="signalled")
    for _ in range(2):
        observer.stop()
        observer.start()
        observer.events.wait("action", pid=deaf().pid, outcome="signalled")
    assert len(observer.events.matching("action", pid=worker.pid)) == 1
    assert not observer.events.matching("observer", what="state-refused")


@case("--recovery-exec runs the command about a deadlocked process, and puts its values in")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, recovery_exec=probe.command("{pid}", "is-{pid}-{pid}", "{name}", "{verdict}", "{status}", "{uid}",
                                                          "{silent_ms}", "{evidence}", "{", "}{"))
    worker = Worker(observer.socket, env={"BELAY_NAME": "web"})
    worker.do(f"status {DEGRADED}")
    observer.events.wait("status", pid=worker.pid, status="degraded")
    worker.tell("deadlock")
    stall = observer.events.wait("stall", pid=worker.pid)
    ran = probe.wait()
    pid = str(worker.pid)
    assert ran["argv"][:6] == [pid, f"is-{pid}-{pid}", "web", stall["verdict"], "degraded", str(os.getuid())], (ran["argv"], stall)
    assert float(ran["argv"][6]) >= 500, ran["argv"]
    assert ran["argv"][7:] == [stall["evidence"], "{", "}{"], (ran["argv"], stall)
    assert stall["verdict"] in ("blocked", "silent"), stall
    done = wait_action(observer, worker, "succeeded")
    assert done["of_seq"] == stall["seq"] and done["exit_code"] == 0 and done["step"] == 1, done
    assert done["name"] == "web" and done["start_ticks"] == stall["start_ticks"] and done["verdict"] == stall["verdict"], done
    assert done["child_pid"] == ran["pid"] and done["duration_s"] > 0, done
    assert worker.process.poll() is None and len(probe.seen()) == 1


@case("there is no shell: whatever stands in the template stays in its argument")
def _(room):
    ordinary(room)
    probe = Probe(room)
    words = ["$(touch", f"{room.path}/pwned)", ";", f"touch$IFS{room.path}/pwned", "&&", "`id`", "|", ">", f"{room.path}/out", "{pid};id",
             "'{name}", "it'", '"a', 'b"', "*", "~", "\\n", "$HOME", "#", "a,b", "-"]
    observer = Observer(room, recovery_exec="  " + probe.command(*words).replace(" ", "   ") + "  ")
    worker = silent_worker(observer, "web")
    ran = probe.wait()
    expected = [word.replace("{pid}", str(worker.pid)).replace("{name}", "web") for word in words]
    assert ran["argv"] == expected, (ran["argv"], expected)
    wait_action(observer, worker, "succeeded")
    assert not os.path.exists(room.file("pwned")) and not os.path.exists(room.file("out"))


@case("a comma in a command of a ladder is written with a backslash")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, on_stall="report, command " + probe.command(r"a\,b", "{name}") + ", report")
    worker = silent_worker(observer, "web")
    assert probe.wait()["argv"] == ["a,b", "web"]
    wait_action(observer, worker, "reported", step=1)
    wait_action(observer, worker, "succeeded", step=2)
    wait_action(observer, worker, "reported", step=3)


@case("a command's environment holds PATH, what it is about and what was added, and nothing else")
def _(room):
    ordinary(room)
    probe = Probe(room)
    config = rules(room, ("web",))
    observer = Observer(room, config=config, recovery_exec=probe.command(), env={"SECRET": "x", "LD_LIBRARY_PATH": "/tmp", "LANG": "C.UTF-8"},
                        arguments=["--recovery-env=COLOUR=blue", "--recovery-env", "EMPTY=", "--recovery-env=COLOUR=red=green"])
    worker = silent_worker(observer, "web")
    env = probe.wait()["environ"]
    stall = observer.events.wait("stall", pid=worker.pid)
    assert set(env) == REQUIRED | {"COLOUR", "EMPTY"}, env
    assert env["PATH"] == "/usr/bin:/bin" and env["COLOUR"] == "red=green" and env["EMPTY"] == "", env
    assert env["BELAY_PID"] == str(worker.pid) and env["BELAY_NAME"] == "web" and env["BELAY_RULE"] == "web", env
    assert env["BELAY_VERDICT"] == stall["verdict"] and env["BELAY_EVIDENCE"] == stall["evidence"], (env, stall)
    assert env["BELAY_STATUS"] == "ok" and env["BELAY_UID"] == str(os.getuid()) and env["BELAY_PIDFD"] == "3", env


@case("--recovery-inherit-env gives a command the observer's environment, too, and entries of its own win")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, recovery_exec=probe.command(), env={"SECRET": "x", "COLOUR": "blue"},
                        arguments=["--recovery-inherit-env", "--recovery-env=COLOUR=red"])
    worker = silent_worker(observer, "web")
    env = probe.wait()["environ"]
    assert env["SECRET"] == "x" and env["COLOUR"] == "red" and env["PATH"] and env["BELAY_PID"] == str(worker.pid), env


@case("a command has /dev/null, /, a group of its own, the pidfd of whom it is about as 3, and no other descriptor")
def _(room):
    ordinary(room)
    probe = Probe(room)
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    observer = Observer(room, recovery_exec=probe.command(), pass_fds=(leak,))
    worker = silent_worker(observer, "web")
    ran = probe.wait()
    assert set(ran["fds"]) == {"0", "1", "2", "3"}, ran["fds"]
    assert ran["fds"]["0"] == "/dev/null" and ran["cwd"] == "/" and ran["pgid"] == ran["pid"], ran
    assert re.search(rf"^Pid:\s+{worker.pid}$", ran["fd3"], re.M), ran["fd3"]
    blocked = re.search(r"^SigBlk:\s+(\w+)$", ran["status"], re.M).group(1)
    assert int(blocked, 16) == 0, blocked
    assert ran["uids"] == [os.getuid()] * 3 and ran["gids"] == [os.getgid()] * 3, ran


@case("exit codes, signals and a program that is not there are told as what they are")
def _(room):
    ordinary(room)
    by_signal = room.write("by-signal.sh", "kill -9 $$\n")
    with_code = room.write("with-code.sh", "exit 37\n")
    config = rules(room, ("good", "on-stall = command true"), ("bad", f"on-stall = command /bin/sh {with_code}"),
                   ("killed", f"on-stall = command /bin/sh {by_signal}"), ("none", "on-stall = command /nonexistent/restart {pid}"))
    observer = Observer(room, config=config)
    workers = {name: silent_worker(observer, name) for name in ("good", "bad", "killed", "none")}
    assert wait_action(observer, workers["good"], "succeeded")["exit_code"] == 0
    assert wait_action(observer, workers["bad"], "failed")["exit_code"] == 37
    assert wait_action(observer, workers["killed"], "failed")["signal"] == signal.SIGKILL
    wait_action(observer, workers["none"], "not-started")
    assert all(worker.process.poll() is None for worker in workers.values())


@case("a command that takes too long is killed with all that it started")
def _(room):
    ordinary(room)
    pids = Lines(room, "pids")
    script = room.write("slow.sh", f"trap '' TERM INT HUP\n(trap '' TERM; sleep 1000) &\nsleep 1000 &\necho $$ $(jobs -p) >>{pids.path}\nwait\n")
    observer = Observer(room, recovery_exec=f"/bin/sh {script}", recovery_timeout_ms=400)
    worker = silent_worker(observer, "web")
    group = [int(pid) for pid in pids.wait()[0].split()]
    killed = wait_action(observer, worker, "timed-out")
    assert killed["duration_s"] >= 0.4 and killed["child_pid"] == group[0], killed
    until(lambda: not any(alive(pid) for pid in group), "the end of the whole group")
    assert len(pids.seen()) == 1 and worker.process.poll() is None


@case("a command that ends in time keeps what it started in the background")
def _(room):
    ordinary(room)
    pids = Lines(room, "pids")
    script = room.write("daemon.sh", f"sleep 1000 >/dev/null 2>&1 &\necho $! >>{pids.path}\n")
    observer = Observer(room, recovery_exec=f"/bin/sh {script}", recovery_timeout_ms=10000)
    worker = silent_worker(observer, "web")
    wait_action(observer, worker, "succeeded")
    other = silent_worker(observer, "other")
    wait_action(observer, other, "succeeded")
    assert alive(int(pids.wait()[0]))


@case("output is counted and thrown away with --recovery-capture-stdio, also when somebody keeps holding the pipe")
def _(room):
    ordinary(room)
    script = room.write("loud.sh", "sleep 1000 &\nhead -c 20000 /dev/zero\necho oops >&2\n")
    observer = Observer(room, recovery_exec=f"/bin/sh {script}", recovery_capture_bytes=100, arguments=["--recovery-capture-stdio"])
    worker = silent_worker(observer, "web")
    done = wait_action(observer, worker, "succeeded")
    assert 0 < done["stdout_bytes"] + done["stderr_bytes"] <= 100 and done["truncated"] is True, done
    assert "oops" not in observer.log()


@case("--recovery-exec-file holds the command, and nobody else may open it")
def _(room):
    ordinary(room)
    probe = Probe(room)
    path = room.write("exec", probe.command("{pid}") + "\n", 0o600)
    observer = Observer(room, recovery_exec_file=path)
    worker = silent_worker(observer, "web")
    assert probe.wait()["argv"] == [str(worker.pid)]
    observer.stop()
    for mode in (0o644, 0o620, 0o602):
        os.chmod(path, mode)
        code, said = observer.refuse()
        assert code != 0 and path in said, (oct(mode), code, said)


# --- as whom -------------------------------------------------------------------------------------------------------

@case("a process's command runs as its user and with its groups, also when root watches")
def _(room):
    need_root()
    os.chmod(room.path, 0o755)
    probe = Probe(room)
    os.chmod(room.write("probe.ran", ""), 0o666)
    observer = Observer(room, recovery_exec=probe.command(), socket_mode="0666")
    worker = silent_worker(observer, "web", user=NOBODY, group=NOBODY, extra_groups=[12345, 23456])

    def told():
        return observer.events.matching("first-beat", pid=worker.pid) or observer.events.matching("refused", reason="foreign_uid")
    if until(told, "a first beat, or its refusal")[0]["event"] == "refused":
        raise Skip("this observer takes beats of its own user only")
    ran = probe.wait()
    assert ran["uids"] == [NOBODY] * 3 and ran["gids"] == [NOBODY] * 3 and ran["groups"] == [12345, 23456], ran
    capabilities = re.search(r"^CapEff:\s+(\w+)$", ran["status"], re.M).group(1)
    assert int(capabilities, 16) == 0, capabilities


@case("root's processes get no command without a rule that says so, and signals all the same")
def _(room):
    need_root()
    probe = Probe(room)
    config = rules(room, ("web", "on-stall = command " + probe.command()), ("db", "on-stall = kill"))
    observer = Observer(room, config=config)
    web, db = silent_worker(observer, "web"), silent_worker(observer, "db")
    withheld = observer.events.wait("withheld", pid=web.pid, reason="no-root")
    assert withheld["text"], withheld
    assert observer.events.wait("end", pid=db.pid)["end"] == "killed"
    assert not probe.seen() and web.process.poll() is None and not observer.actions(pid=web.pid)


@case("run-as = root runs a command as root where exe and uid match, and for no name that a process gave itself")
def _(room):
    need_root()
    probe = Probe(room)
    config = rules(room, ("trusted", f"exe = {os.path.realpath(WORKER)}", "uid = 0", "run-as = root", "on-stall = command " + probe.command("{name}")))
    observer = Observer(room, config=config, on_stall="command " + probe.command("{name}"))
    worker = silent_worker(observer, "whatever")
    ran = probe.wait()
    assert ran["argv"] == ["trusted"] and ran["uids"] == [0, 0, 0], ran
    assert wait_action(observer, worker, "succeeded")["as_root"] is True
    # Another program that calls itself by the name of the rule does not fit it.
    impostor = subprocess.Popen([PYTHON, "-c", "import sys; sys.path.insert(0, sys.argv[1])\nfrom harness import *\n"
                                 "Sender(sys.argv[2]).beat(); sys.stdin.read()", os.path.dirname(os.path.abspath(__file__)), observer.socket],
                                stdin=subprocess.PIPE, env=clean_environment(BELAY_NAME="trusted"))
    observer.events.wait("stall", pid=impostor.pid)
    observer.events.wait("withheld", pid=impostor.pid, reason="no-root")
    assert len(probe.seen()) == 1


@case("a crash runs its command as root where exe and uid had matched while the process lived, and not otherwise")
def _(room):
    need_root()
    probe = Probe(room)
    config = rules(room, ("trusted", f"exe = {os.path.realpath(WORKER)}", "uid = 0", "run-as = root", "on-exit = " + probe.command("{name}", "{verdict}")))
    observer = Observer(room, config=config, on_exit=probe.command("{name}", "{verdict}"))
    worker = Worker(observer.socket)
    untrusted = beating_child(observer.socket)
    until(lambda: observer.rows(str(worker.pid))[0]["beats"] > 40, "two seconds of beats")
    worker.tell("exit 3")
    assert wait_action(observer, worker, "succeeded")["as_root"] is True
    os.kill(untrusted.pid, signal.SIGKILL)
    observer.events.wait("withheld", pid=untrusted.pid, reason="no-root")
    ran, = probe.seen()
    assert ran["argv"][0] == "trusted" and ran["uids"] == [0, 0, 0], ran


@case("run-as = root without exe and uid is an error, and so it is in an ordinary user's observer")
def _(room):
    for lines in (["run-as = root"], ["exe = /usr/bin/x", "run-as = root"], ["uid = 0", "run-as = root"], ["comm = x", "unit = y", "run-as = root"]):
        path = rules(room, ("web", *lines, "on-stall = command true"))
        code, said = Observer(room, start=False, config=path).refuse()
        assert code == 2 and "exe" in said and "uid" in said, (lines, code, said)
        code, out, err = belay("config", "check", "--config", path)
        assert code != 0 and "exe" in out + err, (lines, code, out, err)
    ordinary(room)
    path = rules(room, ("web", "exe = /usr/bin/x", f"uid = {os.getuid()}", "run-as = root"), name="d.conf")
    code, said = Observer(room, start=False, config=path, name="other").refuse()
    assert code == 2 and "root" in said, (code, said)


@case("a process that became another user's since its beats is not acted on")
def _(room):
    need_root()
    observer = Observer(room, on_stall="kill")

    def run(tell, told):
        Sender(observer.socket).beat()
        tell("beat")
        told()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        libc.prctl(4, 1, 0, 0, 0)
        tell("changed")
        told()
    child = Child(run)
    assert child.hear() == "beat"
    observer.events.wait("first-beat", pid=child.pid)
    child.say()
    assert child.hear() == "changed"
    observer.events.wait("withheld", pid=child.pid, reason="wrong-uid")
    fence = silent_worker(observer, "fence")
    observer.events.wait("end", pid=fence.pid)
    assert alive(child.pid) and not observer.actions(pid=child.pid)


# --- ladders -------------------------------------------------------------------------------------------------------

@case("a ladder goes on step by step until a deadlocked process that ignores SIGTERM is killed")
def _(room):
    observer = Observer(room, on_stall="report, term 300ms, kill")
    hard = Worker(observer.socket, env={"BELAY_NAME": "hard"}, preexec_fn=ignoring(signal.SIGTERM))
    soft = Worker(observer.socket, env={"BELAY_NAME": "soft"})
    soft.tell("deadlock")
    end = observer.events.wait("end", pid=soft.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGTERM, end
    hard.tell("deadlock")
    reported = wait_action(observer, hard, "reported", step=1)
    asked = wait_action(observer, hard, "signalled", step=2)
    forced = wait_action(observer, hard, "signalled", step=3)
    end = observer.events.wait("end", pid=hard.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGKILL, end
    assert reported["seq"] < asked["seq"] < forced["seq"], (reported, asked, forced)
    assert forced["mono_ns"] - asked["mono_ns"] >= 200e6, (asked, forced)
    # The other one had ended in time: its ladder was left before the last step.
    assert [a["step"] for a in observer.actions(pid=soft.pid, outcome="signalled")] == [2], observer.actions(pid=soft.pid)
    assert len(observer.stalls()) == 2


@case("a ladder is left off as soon as the process beats again")
def _(room):
    observer = Observer(room, on_stall="report, term 1500ms, kill")
    worker = silent_worker(observer, "web", preexec_fn=ignoring(signal.SIGTERM))
    wait_action(observer, worker, "signalled", step=2)
    assert worker.do("interval 50") == []
    observer.events.wait("recovered", pid=worker.pid)
    wait_action(observer, worker, "left-off")
    fence = silent_worker(observer, "fence", preexec_fn=ignoring(signal.SIGTERM))
    wait_action(observer, fence, "signalled", step=3)
    observer.events.wait("end", pid=fence.pid)
    assert worker.process.poll() is None and not observer.actions(pid=worker.pid, outcome="signalled", step=3)


@case("a command that runs while its process beats again ends in peace, and the next step is not taken")
def _(room):
    ordinary(room)
    held = Held(room)
    observer = Observer(room, on_stall=f"command {held.command}, kill")
    worker = silent_worker(observer, "web")
    held.wait()
    worker.do("interval 50")
    observer.events.wait("recovered", pid=worker.pid)
    held.let_go()
    wait_action(observer, worker, "succeeded", step=1)
    wait_action(observer, worker, "left-off")
    assert worker.process.poll() is None


@case("a ladder that cannot be read is refused with the word that is wrong")
def _(room):
    for ladder, word in (("report, terx 10s, kill", "terx"), ("term, kill", "term"), ("kill, report", "kill"),
                         ("command", "command"), ("term 10q, kill", "10q"), ("command ./restart", "restart"), ("command true {namx}", "namx")):
        code, said = Observer(room, start=False, on_stall=ladder).refuse()
        assert code == 2 and word in said and "on-stall" in said, (ladder, code, said)
    for options in ({"recovery_exec": "true", "on_stall": "kill"}, {"recovery_exec": "true {namx}"}, {"recovery_exec": "{pid} x"},
                    {"on_exit": "./x"}, {"act_on": "blockx"}, {"action_limit": "5"}, {"action_limit": "x/60s"}, {"recovery_timeout_ms": 99}):
        code, said = Observer(room, start=False, **options).refuse()
        assert code == 2 and said, (options, code, said)


# --- on which silences ---------------------------------------------------------------------------------------------

@case("a stopped process is told and not acted on, unless its rule says so")
def _(room):
    config = rules(room, ("held", "act-on = stopped, blocked", "on-stall = kill"))
    observer = Observer(room, config=config, on_stall="kill")
    usual = Worker(observer.socket, env={"BELAY_NAME": "usual"})
    usual.stop()
    stall = observer.events.wait("stall", pid=usual.pid)
    assert stall["verdict"] == "stopped", stall
    withheld = observer.events.wait("withheld", pid=usual.pid, reason="verdict")
    assert withheld["of_seq"] == stall["seq"] and withheld["verdict"] == "stopped", withheld
    held = Worker(observer.socket, env={"BELAY_NAME": "held"})
    held.stop()
    wait_action(observer, held, "signalled")
    end = observer.events.wait("end", pid=held.pid)
    assert end["end"] == "killed" and end["code"] == signal.SIGKILL, end
    assert process_state(usual.pid) == "T" and not observer.actions(pid=usual.pid)


@case("act-on = none and on-stall = none of a rule turn off what the observer does")
def _(room):
    config = rules(room, ("quiet", "act-on = none"), ("other", "on-stall = none"))
    observer = Observer(room, config=config, on_stall="kill")
    quiet, other = silent_worker(observer, "quiet"), silent_worker(observer, "other")
    for worker in (quiet, other):
        observer.events.wait("stall", pid=worker.pid)
    fence = silent_worker(observer, "fence")
    observer.events.wait("end", pid=fence.pid)
    assert alive(quiet.pid) and alive(other.pid)
    assert not observer.actions(pid=quiet.pid) and not observer.actions(pid=other.pid)


@case("a crash runs --on-exit with how it ended, and a goodbye runs nothing")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, on_exit=probe.command("{pid}", "{name}", "{verdict}"), recovery_debounce_ms=1)
    leaving, exiting, dying = [Worker(observer.socket, env={"BELAY_NAME": name}) for name in ("leaving", "exiting", "dying")]
    for worker in (leaving, exiting, dying):
        observer.events.wait("first-beat", pid=worker.pid)
    leaving.tell("leave 3")
    assert observer.events.wait("end", pid=leaving.pid)["end"] == "left"
    exiting.tell("exit 3")
    end = observer.events.wait("end", pid=exiting.pid)
    ran = probe.wait()
    assert ran["argv"] == [str(exiting.pid), "exiting", end["end"]], (ran["argv"], end)
    done = wait_action(observer, exiting, "succeeded")
    assert done["verdict"] == end["end"] and done["of_seq"] == end["seq"], (done, end)
    if end["end"] == "exited":
        env = ran["environ"]
        assert re.search(r"\b3\b", env["BELAY_STATUS"] + " " + env["BELAY_EVIDENCE"]), env
    # Whom it was about has ended: there is no pidfd to be had, or one of nobody.
    dying.tell("raise 9")
    end = observer.events.wait("end", pid=dying.pid)
    wait_action(observer, dying, "succeeded")
    assert probe.wait(2)["argv"] == [str(dying.pid), "dying", end["end"]]
    assert not observer.actions(pid=leaving.pid) and not observer.withheld(pid=leaving.pid)


# --- records -------------------------------------------------------------------------------------------------------

def records(path, kind=None):
    """The lines of an audit log, as lists of columns."""
    lines = read_file(path).splitlines()
    assert lines[0] == "# varta-watch recovery audit v2", lines[:1]
    found = [line.split("\t") for line in lines[1:]]
    return [columns for columns in found if kind in (None, columns[3])]


@case("the audit log holds what was done and what was refused, and its chain is whole over a restart")
def _(room):
    ordinary(room)
    path = room.file("audit")
    slow = room.write("slow.sh", "sleep 1000\n")
    config = rules(room, ("good", "on-stall = command true {pid}"), ("slow", f"on-stall = command /bin/sh {slow}"),
                   ("none", "on-stall = command /nonexistent/restart"))
    observer = Observer(room, config=config, recovery_audit_file=path, recovery_timeout_ms=300, recovery_debounce_ms=600000)
    good, late, none = [silent_worker(observer, name) for name in ("good", "slow", "none")]
    done = wait_action(observer, good, "succeeded")
    killed = wait_action(observer, late, "timed-out")
    wait_action(observer, none, "not-started")
    mark = observer.events.mark()
    good.do("beat")
    observer.events.wait("stall", since=mark, pid=good.pid)
    observer.events.wait("withheld", pid=good.pid, reason="debounced")
    assert observer.stop() == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    boot, = records(path, "boot")
    assert boot[5:7] == ["-", "fresh"], boot
    spawns = {columns[4]: columns for columns in records(path, "spawn")}
    assert set(spawns) == {str(good.pid), str(late.pid)}, spawns
    spawn = spawns[str(good.pid)]
    assert spawn[5] == str(done["child_pid"]) and spawn[6] == "exec" and spawn[7].endswith("true") and spawn[8] == "inline", spawn
    completes = {columns[4]: columns for columns in records(path, "complete")}
    assert completes[str(good.pid)][5:9] == [str(done["child_pid"]), "reaped", "0", "-"], completes
    assert completes[str(late.pid)][5:9] == [str(killed["child_pid"]), "killed", "-", "9"], completes
    refused = {(columns[4], columns[5]) for columns in records(path, "refused")}
    assert refused == {(str(none.pid), "spawn_failed"), (str(good.pid), "debounced")}, refused
    code, out, err = belay("audit", "verify", path)
    assert (code, err) == (0, ""), (code, out, err)
    observer.start()
    until(lambda: len(records(path, "boot")) == 2, "another boot record")
    assert observer.stop() == 0
    assert [columns[6] for columns in records(path, "boot")] == ["fresh", "resume"]
    sequence = [int(columns[0]) for columns in records(path)]
    assert sequence == list(range(1, len(sequence) + 1)), sequence
    code, out, err = belay("audit", "verify", path)
    assert (code, err) == (0, ""), (code, out, err)


@case("an audit log that belongs to the world is refused")
def _(room):
    path = room.write("audit", "", 0o600)
    os.chmod(path, 0o666)
    code, said = Observer(room, start=False, recovery_audit_file=path, on_stall="kill").refuse()
    assert code != 0 and path in said, (code, said)


@case("a configuration that others can write is refused, whatever it would have run")
def _(room):
    probe = Probe(room)
    for mode in (0o666, 0o606, 0o660):
        path = rules(room, ("web", "on-stall = command " + probe.command()), name=f"c{mode:o}.conf")
        os.chmod(path, mode)
        code, said = Observer(room, start=False, config=path).refuse()
        assert code == 77 and path in said, (oct(mode), code, said)
    os.symlink(rules(room, ("web", "on-stall = kill")), room.file("link.conf"))
    code, said = Observer(room, start=False, config=room.file("link.conf")).refuse()
    assert code != 0 and "link.conf" in said, (code, said)


# --- belay act -----------------------------------------------------------------------------------------------------

@case("belay act --dry-run says what would happen, and nothing happens")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, on_stall="report, command " + probe.command("{pid}") + ", kill")
    worker = Worker(observer.socket, env={"BELAY_NAME": "web"})
    observer.events.wait("first-beat", pid=worker.pid)
    at = ("--socket", observer.socket)
    code, out, err = belay("act", "web", "--dry-run", *at)
    assert code == 0 and "report" in out and "probe.py" in out and "kill" in out, (code, out, err)
    code, out, err = belay("act", "nobody", "--dry-run", *at)
    assert code == 4 and "nobody" in out + err, (code, out, err)
    for arguments in ((), ("web",), ("web", "--now", "--dry-run")):
        assert belay("act", *arguments, *at)[0] == 2, arguments
    # Something later is done, so the dry run had its chance.
    fence = silent_worker(observer, "fence")
    observer.events.wait("end", pid=fence.pid)
    assert [ran["argv"] for ran in probe.seen()] == [[str(fence.pid)]]
    assert not observer.actions(pid=worker.pid) and worker.process.poll() is None
    observer.stop()
    assert belay("act", "web", "--dry-run", *at)[0] == 69


@case("belay act says how many it left out when a name means more than 64")
def _(room):
    observer = Observer(room, on_stall="report", threshold="1h")
    workers = [Worker(observer.socket, 0, env={"BELAY_NAME": f"web{i}"}) for i in range(66)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    code, out, err = belay("act", "*", "--dry-run", "--json", "--socket", observer.socket)
    assert code == 1 and len(out.splitlines()) == 64 and "2 more of that name were left out" in err, (code, len(out.splitlines()), err)
    code, out, err = belay("act", "web1?", "--dry-run", "--json", "--socket", observer.socket)
    assert code == 0 and len(out.splitlines()) == 10 and not err, (code, out, err)


@case("belay act --now has it done although the process beats")
def _(room):
    ordinary(room)
    probe = Probe(room)
    observer = Observer(room, on_stall="command " + probe.command("{pid}"))
    worker = Worker(observer.socket, env={"BELAY_NAME": "web"})
    observer.events.wait("first-beat", pid=worker.pid)
    code, out, err = belay("act", "web", "--now", "--socket", observer.socket)
    assert code == 0, (code, out, err)
    assert probe.wait()["argv"] == [str(worker.pid)]
    wait_action(observer, worker, "succeeded")
    assert not observer.stalls(pid=worker.pid) and len(probe.seen()) == 1


# --- crashes -------------------------------------------------------------------------------------------------------

@case("a runner killed during an action: its command ran once, and is adopted or told as unknown")
def _(room):
    ordinary(room)
    held, path = Held(room), room.file("audit")
    config = rules(room, ("fence", "on-stall = command true"))
    observer = Observer(room, config=config, recovery_exec=held.command, recovery_audit_file=path)
    worker = silent_worker(observer, "web")
    target, command = held.wait()
    assert target == worker.pid
    observer.replace_role("runner")

    def told():
        return [a for a in observer.actions(pid=worker.pid) if a["outcome"] in ("adopted", "unknown")]
    first = until(told, lambda: f"adopted or unknown; told: {observer.actions()} {observer.withheld()}")[0]
    assert alive(command), "the command is nobody's to kill"
    held.let_go()
    until(lambda: not alive(command), "the command's end")
    if first["outcome"] == "adopted":
        until(lambda: [a for a in observer.actions(pid=worker.pid) if a["seq"] > first["seq"]], "how the adopted command ended")
    fence = silent_worker(observer, "fence")
    wait_action(observer, fence, "succeeded")
    assert held.seen() == [(worker.pid, command)]
    assert observer.stop() == 0
    assert [columns[6] for columns in records(path, "boot")] == ["fresh", "resume"]
    code, out, err = belay("audit", "verify", path)
    assert code == 0, (code, out, err)


@case("a runner killed when its command has ended already runs it no second time")
def _(room):
    ordinary(room)
    held = Held(room)
    config = rules(room, ("fence", "on-stall = command true"))
    observer = Observer(room, config=config, recovery_exec=held.command)
    worker = silent_worker(observer, "web")
    _, command = held.wait()
    runner = observer.role("runner")
    os.kill(runner, signal.SIGSTOP)
    until(lambda: process_state(runner) == "T", "a stopped runner")
    held.let_go()
    until(lambda: not alive(command), "the command's end")
    observer.replace_role("runner")
    until(lambda: [a for a in observer.actions(pid=worker.pid) if a["outcome"] not in ("started", "reported")],
          lambda: f"what became of the action; told: {observer.actions()}")
    fence = silent_worker(observer, "fence")
    wait_action(observer, fence, "succeeded")
    assert held.seen() == [(worker.pid, command)]


@case("a gate killed during an action: the command goes on, runs once, and its end is told")
def _(room):
    ordinary(room)
    room.need_tmpfs()
    held = Held(room)
    config = rules(room, ("fence", "on-stall = command true"))
    observer = Observer(room, config=config, recovery_exec=held.command)
    worker = silent_worker(observer, "web")
    _, command = held.wait()
    observer.replace_role("gate")
    assert alive(command)
    held.let_go()
    wait_action(observer, worker, "succeeded")
    fence = silent_worker(observer, "fence")
    wait_action(observer, fence, "succeeded")
    assert held.seen() == [(worker.pid, command)]
    assert observer.rows("web")[0]["state"] == "stalled" and len(observer.stalls(pid=worker.pid)) == 1


@case("an observer killed during an action leaves the command running, and the next one runs it no second time")
def _(room):
    ordinary(room)
    room.need_tmpfs()
    held = Held(room)
    config = rules(room, ("fence", "on-stall = command true"))
    observer = Observer(room, config=config, recovery_exec=held.command)
    worker = silent_worker(observer, "web")
    _, command = held.wait()
    observer.kill()
    assert alive(command)
    observer.start()
    held.let_go()
    fence = silent_worker(observer, "fence")
    wait_action(observer, fence, "succeeded")
    assert held.seen() == [(worker.pid, command)]


@case("a prober or exporter killed during an action changes nothing about it")
def _(room):
    ordinary(room)
    held = Held(room)
    observer = Observer(room, recovery_exec=held.command)
    worker = silent_worker(observer, "web")
    _, command = held.wait()
    for role in ("prober", "exporter"):
        observer.replace_role(role)
    assert alive(command)
    held.let_go()
    wait_action(observer, worker, "succeeded")
    assert held.seen() == [(worker.pid, command)]


@case("without a journal no command is started, and that is said")
def _(room):
    ordinary(room)
    probe = Probe(room)
    room.write("beat.sock.journal", "", 0o600)
    os.chmod(room.file("beat.sock.journal"), 0o644)
    observer = Observer(room, recovery_exec=probe.command())
    worker = silent_worker(observer, "web")
    observer.events.wait("withheld", pid=worker.pid, reason="no-journal")
    assert "beat.sock.journal" in observer.log() and not probe.seen() and not observer.actions()


@case("a reload brings actions, changes them, and takes them away")
def _(room):
    ordinary(room)
    first, second = Probe(room, "first"), Probe(room, "second")
    config = rules(room, ("web",))
    observer = Observer(room, config=config, recovery_debounce_ms=1)
    assert observer.role("runner") == 0
    worker = silent_worker(observer, "web")
    observer.events.wait("stall", pid=worker.pid)

    def reload(*lines):
        rules(room, ("web", *lines))
        mark = observer.events.mark()
        observer.process.send_signal(signal.SIGHUP)
        observer.events.wait("observer", since=mark, what="reloaded")

    def stall():
        mark = observer.events.mark()
        worker.do("beat")
        return observer.events.wait("stall", since=mark, pid=worker.pid)
    reload("on-stall = command " + first.command("{pid}"))
    until(lambda: first.seen() or not stall(), "an action after the reload")
    reload("on-stall = command " + second.command("{pid}"))
    until(lambda: second.seen() or not stall(), "another action after another reload")
    reload("on-stall = none")
    told = [stall(), stall()]
    assert not [event for event in observer.actions() if event["of_seq"] == told[0]["seq"]], observer.actions()


@case("a process that is replaced under its pid's watch is never acted on for its predecessor")
def _(room):
    observer = Observer(room, on_stall="report, term 1s, kill")
    first = silent_worker(observer, "web", preexec_fn=ignoring(signal.SIGTERM))
    wait_action(observer, first, "signalled", step=2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = Worker(observer.socket, env={"BELAY_NAME": "web"})
    observer.events.wait("first-beat", pid=second.pid)
    fence = silent_worker(observer, "fence", preexec_fn=ignoring(signal.SIGTERM))
    wait_action(observer, fence, "signalled", step=3)
    assert alive(second.pid) and not observer.actions(pid=second.pid)


if __name__ == "__main__":
    main()
