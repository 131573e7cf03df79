#!/usr/bin/python3
"""What people are told, how often, and the sign of life (docs/alerts.md)."""
import os
import signal
import time

from harness import *


def named(observer, *names, interval=50):
    workers = [Worker(observer.socket, interval, env={"BELAY_NAME": name}) for name in names]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    return workers


@case("alerts of five seconds are one call, one JSON object a line, each the event and its kind")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="500ms", alert=calls.command)
    silent, exiting, dying = named(observer, "silent", "exiting", "dying")
    silent.do("interval 0")
    exiting.tell("exit 3")
    dying.tell("raise 9")
    stall = observer.events.wait("stall", pid=silent.pid)
    told = calls.wait(alert="stall")
    assert {k: told[k] for k in ("event", "seq", "name", "pid", "verdict", "evidence")} == \
        {k: stall[k] for k in ("event", "seq", "name", "pid", "verdict", "evidence")}, (told, stall)
    for name, worker in (("exiting", exiting), ("dying", dying)):
        crash = calls.wait(alert="crash", name=name)
        assert crash["event"] == "end" and crash["pid"] == worker.pid, crash
    assert len(calls.seen()) == 1 and len(calls.seen()[0]) == 3, calls.seen()


@case("an exit with 0, a goodbye and a stopped observer are no alerts")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="500ms", alert=calls.command)
    good, leaving, bad = named(observer, "good", "leaving", "bad")
    leaving.tell("leave 3")
    good.tell("exit 0")
    for worker in (good, leaving):
        observer.events.wait("end", pid=worker.pid)
    bad.tell("exit 1")
    calls.wait(alert="crash", name="bad")
    assert [line["name"] for line in calls.lines()] == ["bad"], calls.seen()


@case("a recovery is always told, with what is over, and the same problem is told anew afterwards")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="500ms", alert=calls.command)
    worker, = named(observer, "web")
    worker.do("interval 0")
    calls.wait(alert="stall", name="web")
    worker.do("interval 50")
    over = calls.wait(alert="recovered", name="web")
    assert over["event"] == "recovered" and over["pid"] == worker.pid and over["recovers"] == ["stall"], over
    worker.do("interval 0")
    calls.wait(alert="stall", name="web", count=2)


@case("a silence that is over before anybody was told of it is told with its recovery")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="300ms", alert=calls.command)
    worker, = named(observer, "web")
    worker.do("interval 0")
    observer.events.wait("stall", pid=worker.pid)
    worker.do("interval 50")
    observer.events.wait("recovered", pid=worker.pid)
    calls.wait(alert="recovered", name="web")
    assert [line["alert"] for line in calls.lines(name="web")] == ["stall", "recovered"], calls.seen()


@case("what goes on is told once: one that stalls under a name whose problem was told is counted")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="300ms", alert=calls.command)
    first, second = named(observer, "web", "web")
    first.do("interval 0")
    calls.wait(alert="stall", name="web")
    second.do("interval 0")
    observer.events.wait("stall", pid=second.pid)
    fence, = named(observer, "fence", interval=0)
    calls.wait(alert="stall", name="fence")
    assert [line["pid"] for line in calls.lines(alert="stall")] == [first.pid, fence.pid], calls.seen()


@case("somebody missing is told, and that all are there again")
def _(room):
    calls = Calls(room)
    config = room.write("c.conf", "[process web]\nexpect = 1\nfirst-beat = 300ms\n")
    observer = Observer(room, config=config, alert=calls.command)
    missing = calls.wait(alert="missing", name="web")
    assert missing["event"] == "missing" and missing["expected"] == 1 and missing["beating"] == 0, missing
    named(observer, "web")
    over = calls.wait(alert="recovered", name="web")
    assert "missing" in over["recovers"], over


@case("an action is told with the problem that it follows, and what it killed did not crash")
def _(room):
    calls = Calls(room)
    observer = Observer(room, on_stall="kill", alert=calls.command)
    worker, = named(observer, "web", interval=0)
    calls.wait(alert="stall", name="web")
    action = calls.wait(alert="action", name="web")
    assert action["event"] == "action" and action["outcome"] == "signalled" and action["pid"] == worker.pid, action
    fence, = named(observer, "fence")
    fence.send_signal(signal.SIGKILL)
    calls.wait(alert="crash", name="fence")
    assert [line["alert"] for line in calls.lines(name="web")] == ["stall", "action"], calls.seen()


@case("a process that somebody stopped is no alert, and its resumption none")
def _(room):
    calls = Calls(room)
    observer = Observer(room, on_stall="kill", alert=calls.command)
    worker, = named(observer, "web")
    worker.stop()
    stall = observer.events.wait("stall", pid=worker.pid)
    assert stall["verdict"] == "stopped", stall
    worker.send_signal(signal.SIGCONT)
    observer.events.wait("recovered", pid=worker.pid)
    fence, = named(observer, "fence")
    fence.tell("exit 9")
    calls.wait(alert="crash", name="fence")
    assert not calls.lines(name="web"), calls.seen()


@case("the alert command has a clean environment, / and no descriptor of ours")
def _(room):
    probe = Probe(room)
    observer = Observer(room, alert=probe.command("a;b", "$(id)", "'c"), env={"SECRET": "x"})
    worker, = named(observer, "web")
    worker.tell("exit 3")
    ran = probe.wait()
    assert ran["environ"] == {"PATH": "/usr/bin:/bin", "BELAY_ALERTS": "1"}, ran["environ"]
    assert ran["argv"] == ["a;b", "$(id)", "'c"] and ran["cwd"] == "/" and ran["pgid"] == ran["pid"], ran
    assert set(ran["fds"]) == {"0", "1", "2"}, ran["fds"]


@case("a call that fails is counted and made again with all that waits")
def _(room):
    calls = Calls(room, failures=1)
    observer = Observer(room, alert=calls.command)
    one, two = named(observer, "one", "two")
    one.tell("exit 3")
    until(lambda: len(calls.seen()) >= 1, "the first call", 30)
    two.tell("exit 4")
    observer.events.wait("end", pid=two.pid)
    calls.wait(alert="crash", name="two")
    until(lambda: len(calls.lines(alert="crash", name="one")) >= 2, "what the failed call was given")
    first, second = calls.seen()[:2]
    assert [line["name"] for line in first] == ["one"] and second[0] == first[0], calls.seen()

    def counted():
        code, out, _ = belay("metrics", "--socket", observer.socket)
        return code == 0 and re.search(r"^belay_alert_failures_total 1$", out, re.M)
    until(counted, "the failure in belay_alert_failures_total")


@case("a command that is not there, or hangs, delays nothing else")
def _(room):
    observer = Observer(room, threshold="300ms", alert="/nonexistent/alert", on_stall="kill")
    workers = named(observer, "one", "two")
    workers[0].tell("exit 3")
    observer.events.wait("end", pid=workers[0].pid)
    workers[1].do("interval 0")
    observer.events.wait("end", pid=workers[1].pid)
    assert observer.alive()
    observer.stop()
    hanging = room.write("hang.sh", "sleep 1000\n", 0o644)
    observer = Observer(room, threshold="300ms", alert=f"/bin/sh {hanging}", on_stall="kill", name="other")
    one, = named(observer, "one", interval=0)
    observer.events.wait("end", pid=one.pid)
    until(lambda: any("hang.sh" in read_file(f"/proc/{pid}/cmdline") for pid in children_of(observer.role("runner"))), "the hanging call")
    two, = named(observer, "two", interval=0)
    assert observer.events.wait("end", pid=two.pid)["end"] == "killed"
    assert observer.stop() == 0


@case("belay alert test runs the command at once and says what came of it")
def _(room):
    calls = Calls(room)
    observer = Observer(room, alert=calls.command)
    began = time.monotonic()
    code, out, err = belay("alert", "test", "--socket", observer.socket)
    assert code == 0, (code, out, err)
    line, = calls.seen()[0]
    assert line["alert"] == "test", line
    assert time.monotonic() - began < PATIENCE
    observer.stop()
    assert belay("alert", "test", "--socket", observer.socket)[0] == 69
    failing = room.write("failing.sh", "exit 3\n", 0o644)
    for number, options in enumerate(({"alert": f"/bin/sh {failing}"}, {"alert": "/nonexistent/alert"}, {})):
        observer = Observer(room, name=f"o{number}", **options)
        code, out, err = belay("alert", "test", "--socket", observer.socket)
        assert code not in (0, 2) and err, (options, code, out, err)
        observer.stop()


@case("alerts that wait are not lost to a killed gate")
def _(room):
    room.need_tmpfs()
    calls = Calls(room)
    observer = Observer(room, threshold="2s", alert=calls.command)
    one, two = named(observer, "one", "two")
    one.tell("exit 3")
    observer.events.wait("end", pid=one.pid)
    observer.replace_role("gate")
    two.tell("exit 3")
    calls.wait(alert="crash", name="one")
    calls.wait(alert="crash", name="two")
    assert len(calls.lines(name="one")) == 1 == len(calls.lines(name="two")), calls.seen()


# --- the dead man's switch -----------------------------------------------------------------------------------------

def switch(room):
    lines = Lines(room, "alive")
    script = room.write("alive.sh", f"echo x >>{lines.path}\n", 0o644)
    return f"/bin/sh {script}", lines


@case("an alert that a killed runner had not handed over is told by the next")
def _(room):
    calls = Calls(room)
    observer = Observer(room, threshold="300ms", alert=calls.command)
    worker, = named(observer, "web", interval=0)
    stall = observer.events.wait("stall", pid=worker.pid)
    observer.replace_role("runner")
    assert calls.wait(alert="stall", name="web")["seq"] == stall["seq"]
    observer.replace_role("gate")
    fence, = named(observer, "fence", interval=0)
    calls.wait(alert="stall", name="fence")
    assert [line["name"] for line in calls.lines(alert="stall")] == ["web", "fence"], calls.seen()


@case("a crash that was told before the gate was killed is over when another of its name beats, and told again")
def _(room):
    room.need_tmpfs()
    calls = Calls(room)
    observer = Observer(room, alert=calls.command)
    worker, = named(observer, "web")
    worker.send_signal(signal.SIGKILL)
    calls.wait(alert="crash", name="web")
    observer.replace_role("gate")
    worker, = named(observer, "web")
    assert calls.wait(alert="recovered", name="web")["recovers"] == ["crash"]
    worker.send_signal(signal.SIGKILL)
    calls.wait(alert="crash", name="web", count=2)


@case("somebody missing over a reload and a killed gate is told once, then that all are there, then missing again")
def _(room):
    room.need_tmpfs()
    calls = Calls(room)
    config = room.write("c.conf", "[process web]\nexpect = 1\nfirst-beat = 300ms\n")
    observer = Observer(room, config=config, alert=calls.command)
    calls.wait(alert="missing", name="web")
    for again in (lambda: observer.process.send_signal(signal.SIGHUP), lambda: observer.replace_role("gate")):
        mark = observer.events.mark()
        again()
        if not observer.events.matching("observer", since=mark):
            observer.events.wait("observer", since=mark)
        worker, = named(observer, "web")
        observer.events.wait("complete", since=mark)
        before = len(calls.lines(alert="missing"))
        calls.wait(alert="recovered", name="web", count=before)
        worker.tell("leave 0")
        observer.events.wait("missing", since=mark)
        calls.wait(alert="missing", name="web", count=before + 1)


@case("people are told of silences whatever act-on says, and of what it says besides")
def _(room):
    calls = Calls(room)
    config = room.write("c.conf", "[process stopped]\nact-on = stopped\n")
    observer = Observer(room, config=config, threshold="300ms", alert=calls.command, act_on="none")
    silent, stopped, other = named(observer, "silent", "stopped", "other")
    for worker in (stopped, other):
        worker.stop()
        observer.events.wait("stall", pid=worker.pid)
    silent.do("interval 0")
    calls.wait(alert="stall", name="silent")
    assert sorted(line["name"] for line in calls.lines(alert="stall")) == ["silent", "stopped"], calls.seen()


@case("the dead man's switch is run again and again, not while the gate hangs, and afterwards again")
def _(room):
    command, lines = switch(room)
    observer = Observer(room, deadman=command, every="1s")
    began = time.monotonic()
    lines.wait(3)
    assert time.monotonic() - began >= 1.5
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    until(lambda: process_state(gate) == "T", "a stopped gate")
    seen, since = len(lines.seen()), time.monotonic()

    def quiet():
        nonlocal seen, since
        if len(lines.seen()) != seen:
            seen, since = len(lines.seen()), time.monotonic()
        return time.monotonic() - since > 4
    until(quiet, "four intervals without a sign of life")
    os.kill(gate, signal.SIGCONT)
    lines.wait(seen + 2)


@case("the dead man's switch goes on after a killed runner and a killed gate")
def _(room):
    command, lines = switch(room)
    observer = Observer(room, deadman=command, every="1s")
    lines.wait(1)
    for role in ("runner", "gate"):
        observer.replace_role(role)
        lines.wait(len(lines.seen()) + 2)


@case("a failing or hanging dead man's switch is run the next time all the same")
def _(room):
    lines = Lines(room, "alive")
    script = room.write("alive.sh", f"echo $$ >>{lines.path}\ncase $(wc -l <{lines.path}) in 1) exit 3;; 2) exec sleep 1000;; esac\n", 0o644)
    observer = Observer(room, deadman=f"/bin/sh {script}", every="1s")
    pids = lines.wait(4)
    until(lambda: not alive(int(pids[1])), "the end of the hanging one")
    assert observer.alive()


@case("an interval below a second, and an alert command with keys, are refused")
def _(room):
    for options in ({"deadman": "true", "every": "999ms"}, {"alert": "true {pid}"}, {"alert": "./x"}, {"deadman": "true {name}"}):
        code, said = Observer(room, start=False, **options).refuse()
        assert code == 2 and said, (options, code, said)


if __name__ == "__main__":
    main()
