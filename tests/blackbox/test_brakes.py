#!/usr/bin/python3
"""What holds actions back: debounce, back-off, limits, mass stalls and pauses; each says so."""
import os
import signal
import time

from harness import *


def runner_command(room, name="ran"):
    """A command that adds the pid it is about to a file, and that file."""
    lines = Lines(room, name)
    script = room.write(name + ".sh", f'echo "$1" >>{lines.path}\n', 0o644)
    return f"/bin/sh {script} {{pid}}", lines


def named(observer, *names, interval=50):
    workers = [Worker(observer.socket, interval, env={"BELAY_NAME": name}) for name in names]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    return workers


def silence(*workers):
    for worker in workers:
        worker.do("interval 0")


def stall_again(observer, worker):
    """Lets a silent worker beat once, and waits until it is told as stalled again."""
    mark = observer.events.mark()
    worker.do("beat")
    return observer.events.wait("stall", since=mark, pid=worker.pid)


def belonging(events, stall):
    return [event for event in events if event.get("of_seq") == stall["seq"]]


def fate(observer, stall):
    """The last that was told of what came of a stall: an action that ended, or a reason."""
    def told():
        ended = [a for a in belonging(observer.actions(), stall) if a["outcome"] not in ("started", "adopted")]
        return ended or belonging(observer.withheld(), stall)
    return until(told, lambda: f"what came of {stall}; told: {observer.actions()} {observer.withheld()}")[-1]


# --- debounce, in flight, back-off, limit --------------------------------------------------------------------------

@case("one process is not acted on twice within the debounce time")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="200ms", recovery_exec=command, recovery_debounce_ms=600000)
    worker, = named(observer, "web", interval=0)
    first = observer.events.wait("stall", pid=worker.pid)
    assert fate(observer, first)["outcome"] == "succeeded"
    again = stall_again(observer, worker)
    withheld = fate(observer, again)
    assert withheld["event"] == "withheld" and withheld["reason"] == "debounced", withheld
    assert 0 < withheld["wait_s"] <= 600, withheld
    # Another process of the same name is another process.
    other, = named(observer, "other", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=other.pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(worker.pid), str(other.pid)]


@case("while an action is under way its process is not acted on again")
def _(room):
    ordinary(room)
    held = Held(room)
    config = room.write("c.conf", "[process fence]\non-stall = command true\n")
    observer = Observer(room, config=config, threshold="200ms", recovery_exec=held.command, recovery_debounce_ms=0)
    worker, = named(observer, "web", interval=0)
    held.wait()
    withheld = fate(observer, stall_again(observer, worker))
    assert withheld["event"] == "withheld" and withheld["reason"] in ("in-flight", "back-off"), withheld
    until(lambda: observer.withheld(pid=worker.pid, reason="in-flight") or fate(observer, stall_again(observer, worker)).get("reason") == "in-flight",
          "an action withheld because one is under way")
    fence, = named(observer, "fence", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=fence.pid))["outcome"] == "succeeded"
    assert len(held.seen()) == 1


@case("between actions on one name lie one second, then two, whichever process it is")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="150ms", recovery_exec=command, recovery_debounce_ms=0, action_limit=0)
    first, second = named(observer, "web", "web", interval=0)
    turn = 0

    def starts():
        began = {}
        for action in observer.actions(name="web"):
            if "child_pid" in action:
                began.setdefault(action["child_pid"], action["mono_ns"] / 1e9)
        return sorted(began.values())

    def three():
        nonlocal turn
        if len(ran.seen()) >= 3 and len(starts()) >= 3:
            return True
        turn += 1
        stall_again(observer, (first, second)[turn % 2])
        return False
    until(three, lambda: f"three actions; told: {observer.actions()} {observer.withheld()}")
    times = starts()
    assert times[1] - times[0] >= 0.75 and times[2] - times[1] >= 1.75, times
    withheld = observer.withheld(name="web", reason="back-off")
    assert withheld and all(0 < event["wait_s"] <= 4 for event in withheld), withheld
    # Nobody else's name is held back.
    other, = named(observer, "other", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=other.pid))["outcome"] == "succeeded"


@case("after ten healthy thresholds a name begins anew")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="250ms", recovery_exec=command, recovery_debounce_ms=0, action_limit=0)
    worker, = named(observer, "web", interval=0)
    # The third action comes after 1 s + 2 s; a fourth might be after another 4 s, were the name not well for 2.5 s.
    until(lambda: len(ran.seen()) >= 3 or not stall_again(observer, worker), "three actions")
    worker.do("interval 20")
    beats = observer.rows("web")[0]["beats"]
    until(lambda: observer.rows("web")[0]["beats"] > beats + 140, "well over ten thresholds of beats")
    mark = observer.events.mark()
    silence(worker)
    last = fate(observer, observer.events.wait("stall", since=mark, pid=worker.pid))
    assert last["event"] == "action" and last["outcome"] == "succeeded", last


@case("action-limit lets so many actions of a rule happen, and says that it withholds the others")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process apart]\n")
    observer = Observer(room, config=config, threshold="200ms", recovery_exec=command, action_limit="2/60s")
    workers = named(observer, *(f"web{i}" for i in range(5)))
    fates = []
    for worker in workers:
        # One after the other: five at once would be a mass stall.
        silence(worker)
        fates.append(fate(observer, observer.events.wait("stall", pid=worker.pid)))
    assert [event.get("outcome") for event in fates[:2]] == ["succeeded"] * 2, fates
    assert [event.get("reason") for event in fates[2:]] == ["action-limit"] * 3, fates
    assert all(0 < event["wait_s"] <= 60 for event in fates[2:]), fates
    # Another rule has a limit of its own.
    apart, = named(observer, "apart", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=apart.pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(workers[0].pid), str(workers[1].pid), str(apart.pid)]
    assert not observer.events.matching("mass-stall")


@case("a rule may have a limit of its own, and none")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process one]\naction-limit = 1/1h\n[process free]\naction-limit = 0\n")
    observer = Observer(room, config=config, threshold="150ms", recovery_exec=command, recovery_debounce_ms=0, action_limit="1/1h")
    one, free = named(observer, "one", "free", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=one.pid))["outcome"] == "succeeded"
    assert fate(observer, observer.events.wait("stall", pid=free.pid))["outcome"] == "succeeded"

    def limited():
        return fate(observer, stall_again(observer, one)).get("reason") == "action-limit"
    until(limited, lambda: f"the limit; told: {observer.withheld(pid=one.pid)}")

    def acted():
        return fate(observer, stall_again(observer, free)).get("outcome") == "succeeded"
    until(acted, lambda: f"a second action on the one without a limit; told: {observer.withheld(pid=free.pid)}")
    assert ran.seen().count(str(one.pid)) == 1 and not observer.withheld(pid=free.pid, reason="action-limit")


# --- mass stalls ---------------------------------------------------------------------------------------------------

@case("ten of a rule that go silent at once are one event and one alert, and nobody is acted on")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    calls = Calls(room)
    config = room.write("c.conf", "[process web]\nexpect = 10\n")
    observer = Observer(room, config=config, threshold="1s", recovery_exec=command, alert=calls.command)
    workers = named(observer, *["web"] * 10)
    silence(*workers)
    event = observer.events.wait("mass-stall")
    assert event["name"] == "web" and event["uid"] == os.getuid() and event["expected"] == 10 and event["beating"] >= 5, event
    told = calls.wait(alert="mass-stall")
    assert told["seq"] == event["seq"] and told["name"] == "web", told
    for worker in workers:
        until(lambda w=worker: observer.rows(str(w.pid))[0]["state"] == "stalled", "the silence of each")
    # Something later is told to people and acted on: the ten had every chance.
    fence, = named(observer, "fence")
    silence(fence)
    calls.wait(alert="stall", name="fence")
    assert fate(observer, observer.events.wait("stall", pid=fence.pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(fence.pid)] and not observer.actions(name="web"), observer.actions(name="web")
    assert len(observer.events.matching("mass-stall")) == 1
    assert not calls.lines(alert="stall", name="web") and len(calls.lines(alert="mass-stall")) == 1, calls.seen()


@case("when a mass stall is over, one of them that goes silent alone is acted on again")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    calls = Calls(room)
    observer = Observer(room, threshold="500ms", recovery_exec=command, alert=calls.command)
    workers = named(observer, *(f"web{i}" for i in range(8)))
    silence(*workers)
    observer.events.wait("mass-stall")
    for worker in workers:
        until(lambda w=worker: observer.rows(str(w.pid))[0]["state"] == "stalled", "the silence of each")
    for worker in workers:
        worker.do("interval 50")
    for worker in workers:
        until(lambda w=worker: observer.rows(str(w.pid))[0]["state"] == "healthy", "the beats of each")
    calls.wait(alert="recovered")
    mark = observer.events.mark()
    silence(workers[0])
    assert fate(observer, observer.events.wait("stall", since=mark, pid=workers[0].pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(workers[0].pid)]
    assert len(observer.events.matching("mass-stall")) == 1 and len(calls.lines(alert="mass-stall")) == 1


@case("two of ten are two actions and no mass stall")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="500ms", recovery_exec=command)
    workers = named(observer, *(f"web{i}" for i in range(10)))
    silence(*workers[:2])
    for worker in workers[:2]:
        assert fate(observer, observer.events.wait("stall", pid=worker.pid))["outcome"] == "succeeded"
    assert sorted(ran.seen()) == sorted(str(worker.pid) for worker in workers[:2])
    assert not observer.events.matching("mass-stall") and len(observer.stalls()) == 2


@case("four of four are too few for a mass stall")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="500ms", recovery_exec=command)
    workers = named(observer, *(f"web{i}" for i in range(4)))
    silence(*workers)
    for worker in workers:
        assert fate(observer, observer.events.wait("stall", pid=worker.pid))["outcome"] == "succeeded"
    assert len(ran.seen()) == 4 and not observer.events.matching("mass-stall")


@case("five of thirty are not more than a fifth")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="1500ms", recovery_exec=command)
    workers = named(observer, *(f"web{i}" for i in range(30)), interval=150)
    silence(*workers[:5])
    for worker in workers[:5]:
        assert fate(observer, observer.events.wait("stall", pid=worker.pid))["outcome"] == "succeeded"
    assert len(ran.seen()) == 5 and not observer.events.matching("mass-stall")


@case("a dozen processes that somebody stopped are no mass stall")
def _(room):
    observer = Observer(room, threshold="500ms", on_stall="kill")
    workers = named(observer, *(f"web{i}" for i in range(12)))
    for worker in workers:
        worker.stop()
    for worker in workers:
        assert observer.events.wait("stall", pid=worker.pid)["verdict"] == "stopped"
    fence = Worker(observer.socket, 0, env={"BELAY_NAME": "fence"})
    observer.events.wait("end", pid=fence.pid)
    assert not observer.events.matching("mass-stall")
    assert all(process_state(worker.pid) == "T" for worker in workers)


@case("a mass stall of one rule holds nobody back of another")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process web]\n[process db]\n")
    observer = Observer(room, config=config, threshold="1s", recovery_exec=command)
    web, (db,) = named(observer, *["web"] * 6), named(observer, "db")
    silence(*web, db)
    assert fate(observer, observer.events.wait("stall", pid=db.pid))["outcome"] == "succeeded"
    observer.events.wait("mass-stall", name="web")
    assert ran.seen() == [str(db.pid)] and not observer.actions(name="web")


@case("who is silent still one threshold after a mass stall was over is acted on, and people are told")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    calls = Calls(room)
    observer = Observer(room, threshold="500ms", recovery_exec=command, alert=calls.command, action_limit=0)
    workers = named(observer, *(f"web{i}" for i in range(6)))
    silence(*workers)
    observer.events.wait("mass-stall")
    for worker in workers:
        observer.events.wait("stall", pid=worker.pid)
    for worker in workers[:2]:
        worker.do("interval 50")
    observer.events.wait("mass-stall-over")
    for worker in workers[2:]:
        stall, = observer.stalls(pid=worker.pid)
        assert fate(observer, stall)["outcome"] == "succeeded"
        told = calls.wait(alert="stall", name=observer.rows(str(worker.pid))[0]["name"])
        assert told["seq"] == stall["seq"] and told["verdict"] == stall["verdict"], (told, stall)
    assert sorted(ran.seen()) == sorted(str(worker.pid) for worker in workers[2:])
    assert calls.lines(alert="recovered")[0]["recovers"] == ["mass-stall"], calls.seen()
    assert len(observer.stalls()) == 6 and len(observer.events.matching("mass-stall")) == 1


@case("a mass stall outlives a killed gate and a reload, and its end is told once")
def _(room):
    ordinary(room)
    room.need_tmpfs()
    command, ran = runner_command(room)
    calls = Calls(room)
    config = room.write("c.conf", "[process web]\n")
    observer = Observer(room, config=config, threshold="500ms", recovery_exec=command, alert=calls.command)
    workers = named(observer, *["web"] * 6)
    silence(*workers)
    observer.events.wait("mass-stall")
    for worker in workers:
        observer.events.wait("stall", pid=worker.pid)
    calls.wait(alert="mass-stall")
    observer.replace_role("gate")
    room.write("c.conf", "[process fence]\n[process web]\n")
    mark = observer.events.mark()
    observer.process.send_signal(signal.SIGHUP)
    observer.events.wait("observer", since=mark, what="reloaded")
    fence, = named(observer, "fence", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=fence.pid))["outcome"] == "succeeded"
    for worker in workers:
        worker.do("interval 50")
    calls.wait(alert="recovered", name="web")
    assert ran.seen() == [str(fence.pid)]
    assert len(observer.events.matching("mass-stall")) == 1 and len(observer.events.matching("mass-stall-over")) == 1


@case("five that fell silent one after the other are no mass stall after a reload")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, config=room.write("c.conf", "[process fence]\n"), threshold="300ms", recovery_exec=command, action_limit=0)
    workers = named(observer, *(f"web{i}" for i in range(8)), interval=20)
    for worker in workers[:5]:
        silence(worker)
        assert fate(observer, observer.events.wait("stall", pid=worker.pid))["outcome"] == "succeeded"
        fence_stalls(observer, "apart")
    mark = observer.events.mark()
    observer.process.send_signal(signal.SIGHUP)
    observer.events.wait("observer", since=mark, what="reloaded")
    silence(workers[5])
    assert fate(observer, observer.events.wait("stall", pid=workers[5].pid))["outcome"] == "succeeded"
    assert not observer.events.matching("mass-stall") and not observer.events.matching("mass-stall-over")


@case("where stopped ones are acted on, a dozen that somebody stopped are a mass stall")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process fence]\n")
    observer = Observer(room, config=config, threshold="500ms", recovery_exec=command, act_on="stopped,blocked,silent", action_limit=0)
    workers = named(observer, *(f"web{i}" for i in range(12)))
    for worker in workers:
        worker.stop()
    observer.events.wait("mass-stall")
    for worker in workers:
        assert observer.events.wait("stall", pid=worker.pid)["verdict"] == "stopped"
    fence, = named(observer, "fence", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=fence.pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(fence.pid)]


@case("a silence that was held back when the gate was killed is acted on by the next")
def _(room):
    ordinary(room)
    room.need_tmpfs()
    command, ran = runner_command(room)
    calls = Calls(room)
    observer = Observer(room, threshold="2s", recovery_exec=command, alert=calls.command)
    workers = named(observer, *(f"web{i}" for i in range(8)), interval=0)
    for worker in workers:
        worker.do("beat")
    time.sleep(0.6)  # the others are heard later, but not for more than half a threshold when the first one falls
    for worker in workers[1:]:
        worker.do("beat")
    observer.events.wait("stall", pid=workers[0].pid)
    assert not ran.seen()
    observer.replace_role("gate")
    for worker in workers[1:]:
        worker.do("interval 50")
    ran.wait(1)
    calls.wait(alert="stall", name="web0")
    assert ran.seen() == [str(workers[0].pid)] and not observer.events.matching("mass-stall")


@case("a silence that the runner did not get to is acted on by the next, once")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="300ms", recovery_exec=command)
    worker, = named(observer, "web")
    runner = until(lambda: observer.role("runner"), "the runner")
    os.kill(runner, signal.SIGSTOP)
    silence(worker)
    stall = observer.events.wait("stall", pid=worker.pid)
    os.kill(runner, signal.SIGKILL)
    assert fate(observer, stall)["outcome"] == "succeeded"
    observer.replace_role("runner")
    observer.replace_role("gate")
    fence, = named(observer, "fence", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=fence.pid))["outcome"] == "succeeded"
    assert ran.seen() == [str(worker.pid), str(fence.pid)]


# --- pauses --------------------------------------------------------------------------------------------------------

def fence_stalls(observer, name):
    """Something later stalls: whoever was silent before had every chance to."""
    fence, = named(observer, name, interval=0)
    observer.events.wait("stall", pid=fence.pid)


@case("a paused process neither stalls nor is acted on, says so, and does both after its resumption")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process fence]\non-stall = none\n")
    observer = Observer(room, config=config, threshold="300ms", recovery_exec=command)
    at = ("--socket", observer.socket)
    worker, = named(observer, "web")
    code, out, err = belay("pause", "web", "--for", "1h", *at)
    assert code == 0, (code, out, err)
    row = observer.rows("web")[0]
    assert row["paused_until"], row
    code, out, _ = belay("status", "web", *at)
    assert code == 0 and "paused" in out, (code, out)
    silence(worker)
    fence_stalls(observer, "fence")
    assert not observer.stalls(pid=worker.pid) and not ran.seen()
    began = time.monotonic()
    code, out, err = belay("resume", "web", *at)
    assert code == 0, (code, out, err)
    stall = observer.events.wait("stall", pid=worker.pid)
    assert time.monotonic() - began >= 0.3
    assert fate(observer, stall)["outcome"] == "succeeded" and ran.seen() == [str(worker.pid)]
    assert not observer.rows("web")[0]["paused_until"]


@case("a pause outlives a killed gate, and a killed runner")
def _(room):
    ordinary(room)
    room.need_tmpfs()
    command, ran = runner_command(room)
    config = room.write("c.conf", "[process fence]\non-stall = none\n")
    observer = Observer(room, config=config, threshold="300ms", recovery_exec=command)
    worker, = named(observer, "web")
    assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
    observer.replace_role("gate")
    observer.replace_role("runner")
    until(lambda: observer.rows("web")[0].get("paused_until"), "the pause in the new gate's status")
    silence(worker)
    fence_stalls(observer, "fence")
    assert not observer.stalls(pid=worker.pid) and not ran.seen()
    assert belay("resume", "web", "--socket", observer.socket)[0] == 0
    assert fate(observer, observer.events.wait("stall", pid=worker.pid))["outcome"] == "succeeded"


@case("who was silent in a pause is watched again after it, also by a gate or an observer that came meanwhile")
def _(room):
    room.need_tmpfs()
    for replace, over in ((lambda o: o.replace_role("gate"), lambda o: belay("resume", "web", "--socket", o.socket)),
                          (lambda o: (o.stop(), o.start()), lambda o: None)):
        observer = Observer(room, threshold="300ms")
        worker, = named(observer, "web")
        assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
        silence(worker)
        fence_stalls(observer, "fence")
        replace(observer)
        over(observer)
        observer.events.wait("stall", pid=worker.pid)
        observer.stop()
        worker.process.kill()
        worker.wait()


@case("who is expected is not missed in a pause, but after it")
def _(room):
    config = room.write("c.conf", "[process web]\nexpect = 1\nfirst-beat = 300ms\n[process api]\nexpect = 1\nfirst-beat = 2s\n")
    observer = Observer(room, config=config)
    assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
    observer.events.wait("missing", name="api")
    assert not observer.events.matching("missing", name="web")
    assert belay("resume", "web", "--socket", observer.socket)[0] == 0
    observer.events.wait("missing", name="web")


@case("a pause ends by itself, and means a glob of names")
def _(room):
    observer = Observer(room, threshold="200ms")
    one, two, other = named(observer, "web1", "web2", "db")
    began = time.monotonic()
    assert belay("pause", "web*", "--for", "3s", "--socket", observer.socket)[0] == 0
    silence(one, two, other)
    observer.events.wait("stall", pid=other.pid)
    for worker in (one, two):
        observer.events.wait("stall", pid=worker.pid)
    assert time.monotonic() - began >= 3
    until(lambda: not any(row.get("paused_until") for row in observer.rows()), "nobody paused")


@case("the end of a paused process is told as ever")
def _(room):
    observer = Observer(room)
    worker, = named(observer, "web")
    assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
    worker.send_signal(signal.SIGKILL)
    assert observer.events.wait("end", pid=worker.pid)["end"] == "killed"


@case("an action that is under way when its process is paused goes no further, and a dry run says why")
def _(room):
    ordinary(room)
    config = room.write("c.conf", "[process fence]\non-stall = none\n")
    observer = Observer(room, config=config, on_stall="report, kill")
    at = ("--socket", observer.socket)
    worker, = named(observer, "web")
    assert belay("pause", "web", "--for", "1h", *at)[0] == 0
    code, out, err = belay("act", "web", "--dry-run", *at)
    assert code in (0, 1) and "paused" in out + err, (code, out, err)
    silence(worker)
    fence_stalls(observer, "fence")
    assert worker.process.poll() is None and not observer.actions(pid=worker.pid)


@case("pause and resume refuse what means nobody or no time")
def _(room):
    observer = Observer(room)
    at = ("--socket", observer.socket)
    for arguments in (("pause",), ("pause", "web", "--for", "soon"), ("pause", "web", "--for"), ("resume",), ("pause", "web", "--for", "-1s")):
        code, out, err = belay(*arguments, *at)
        assert code == 2 and out == "" and err, (arguments, code, out, err)
    code, out, err = belay("resume", "web", *at)
    assert code not in (0, 2) and err, (code, out, err)
    observer.stop()
    for arguments in (("pause", "web", "--for", "1h"), ("resume", "web")):
        assert belay(*arguments, *at)[0] == 69, arguments


# --- what comes between --------------------------------------------------------------------------------------------

def held_back(room, **options):
    """An observer, a worker whose second stall its back-off holds back, what ran, and that stall."""
    command, ran = runner_command(room)
    observer = Observer(room, threshold="200ms", recovery_exec=command, recovery_debounce_ms=0, action_limit=0, **options)
    worker, = named(observer, "web", interval=0)
    observer.events.wait("stall", pid=worker.pid)
    ran.wait(1)
    stall = stall_again(observer, worker)
    until(lambda: observer.withheld(reason="back-off", of_seq=stall["seq"]), "an action that is held back")
    return observer, worker, ran, stall


def reason_after(observer, stall, reason):
    until(lambda: observer.withheld(reason=reason, of_seq=stall["seq"]), lambda: f"{reason}; told: {observer.withheld()}")


@case("what is held back is withheld when its process is paused meanwhile")
def _(room):
    ordinary(room)
    observer, worker, ran, stall = held_back(room)
    before = len(ran.seen())
    assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
    reason_after(observer, stall, "paused")
    assert len(ran.seen()) == before


@case("what is held back is withheld when somebody debugs its process by now")
def _(room):
    ordinary(room)
    observer, worker, ran, stall = held_back(room)
    before = len(ran.seen())
    assert libc.ptrace(0x4206, worker.pid, 0, 0) == 0  # PTRACE_SEIZE
    reason_after(observer, stall, "verdict")
    assert len(ran.seen()) == before


@case("a ladder is left when its process is paused between two steps")
def _(room):
    ordinary(room)
    observer = Observer(room, threshold="200ms", on_stall="report, term 2s, kill")
    worker = Worker(observer.socket, 0, env={"BELAY_NAME": "web"},
                    preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    until(lambda: observer.actions(outcome="signalled"), "SIGTERM")
    assert belay("pause", "web", "--for", "1h", "--socket", observer.socket)[0] == 0
    left, = until(lambda: observer.actions(outcome="left-off"), "a ladder that is left")
    assert "paused" in left["text"], left
    assert worker.process.poll() is None


@case("rules that change places by a reload change nothing about what is held back")
def _(room):
    ordinary(room)
    first, ran_first = runner_command(room, "first")
    second, ran_second = runner_command(room, "second")
    config = room.write("c.conf", f"[process web]\non-exit = {first}\n")
    observer = Observer(room, config=config, threshold="500ms", action_limit=0, recovery_debounce_ms=0)
    worker, = named(observer, "web")
    worker.send_signal(signal.SIGKILL)
    ran_first.wait(1)
    worker, = named(observer, "web")
    worker.send_signal(signal.SIGKILL)
    until(lambda: observer.withheld(reason="back-off"), "an action that is held back")
    room.write("c.conf", f"[process aaa]\non-exit = {second}\n[process web]\non-exit = {first}\n")
    observer.process.send_signal(signal.SIGHUP)
    ran_first.wait(2)
    assert ran_second.seen() == []


@case("of several that share a name each crash has its command, however well the others are")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="5s", on_exit=command, action_limit=0, recovery_debounce_ms=0)
    workers = named(observer, "web", "web", "web")
    for worker in workers[:2]:
        worker.send_signal(signal.SIGKILL)
        observer.events.wait("end", pid=worker.pid)
    ran.wait(2)
    assert ran.seen() == [str(worker.pid) for worker in workers[:2]]
    assert [event["reason"] for event in observer.withheld()] == ["back-off"]


@case("a runner that was killed is braked by what the one before it did")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="200ms", recovery_exec=command, action_limit="1/60s")
    named(observer, "a", interval=0)
    ran.wait(1)
    observer.replace_role("runner")
    other, = named(observer, "b", interval=0)
    assert fate(observer, observer.events.wait("stall", pid=other.pid))["reason"] == "action-limit"
    assert len(ran.seen()) == 1


@case("asking what would be done changes nothing")
def _(room):
    ordinary(room)
    command, ran = runner_command(room)
    observer = Observer(room, threshold="100ms", recovery_exec=command, recovery_debounce_ms=0, action_limit=0)
    well, = named(observer, "web", interval=20)
    until(lambda: observer.rows("web")[0]["beats"] > 100, "well over ten thresholds of beats")
    worker, = named(observer, "web", interval=0)
    observer.events.wait("stall", pid=worker.pid)
    ran.wait(1)
    belay("act", str(well.pid), "--dry-run", "--socket", observer.socket)
    assert fate(observer, stall_again(observer, worker))["reason"] == "back-off"


if __name__ == "__main__":
    main()
