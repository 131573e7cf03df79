#!/usr/bin/python3
"""Plain frames over UDP: processes of another host, which this one can neither see, signal nor end."""
import os
import re
import signal
import time

from harness import *
from sealed import *

HOST = "udp"
PID = 4711


def series(observer):
    """What the exporter tells, by `name{labels}`; nothing as long as it does not answer."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(PATIENCE)
    data = b""
    with contextlib.closing(client), contextlib.suppress(ConnectionError, FileNotFoundError):
        client.connect(observer.socket + ".metrics")
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        while chunk := client.recv(65536):
            data += chunk
    lines = [line for line in data.decode().splitlines() if line.startswith("belay_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@case("a plain frame over UDP is a beat of a process of another host")
def _(room):
    observer = far(room)
    UdpSender(observer.udp, PID).beat(payload=7, status=DEGRADED)
    first = observer.events.wait("first-beat", pid=PID)
    assert first["host"] == HOST and first["name"] == f"{HOST}/{PID}", first
    found = wait_beats(observer, HOST, PID, 1)
    assert found["name"] == f"{HOST}/{PID}" and found["origin"] == "network-unverified", found
    assert found["status"] == "degraded" and found["payload"] == 7 and found["nonce"] == 1, found
    assert observer.counter("beats_total") == 1


@case("the commands show a process of another host by its host and pid")
def _(room):
    observer = far(room)
    UdpSender(observer.udp, PID).beat()
    wait_beats(observer, HOST, PID, 1)
    code, text, said = belay("status", "--socket", observer.socket)
    assert f"{HOST}/{PID}" in text, (code, text, said)
    code, text, said = belay("status", "--socket", observer.socket, "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    rows = rows[0] if rows and isinstance(rows[0], list) else rows
    assert any(found.get("host") == HOST and found.get("pid") == PID for found in rows), (code, text, said)


@case("without keys and without an acknowledgement UDP is refused at the start")
def _(room):
    code, said = Observer(room, start=False, udp_port=free_port()).refuse()
    assert code > 0 and "--i-accept-plaintext-udp" in said, (code, said)
    code, said = Observer(room, start=False, udp_port=free_port(), on_stall="report", recovery_exec="/bin/true {pid}",
                          arguments=["--i-accept-plaintext-udp"], name="other").refuse()
    assert code > 0 and "recovery-on-unauthenticated-transport" in said, (code, said)


@case("plain UDP is warned of at the start")
def _(room):
    observer = far(room)
    assert re.search("authenticat", observer.log(), re.I) and str(observer.udp[1]) in observer.log(), observer.log()


@case("a port that is taken is said to be, and nothing runs without it")
def _(room):
    observer = far(room, start=False)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(observer.udp)
        code, said = observer.refuse()
    assert code > 0 and str(observer.udp[1]) in said, (code, said)


@case("every other length is counted and is no beat")
def _(room):
    observer = far(room)
    sender = UdpSender(observer.udp, PID)
    good = sender.make()
    lengths = [0, 1, 31, 33, 60, 64, 65, 66, 1400, 60000]
    for count, length in enumerate(lengths, 1):
        sender.put((good * 2000)[:length])
        wait_counter(observer, TRUNCATED, count)
    assert observer.counter("beats_total") == 0
    sender.put(good)
    wait_beats(observer, HOST, PID, 1)
    assert observer.counter(TRUNCATED) == len(lengths)


@case("each class of decode error is counted over UDP, too")
def _(room):
    observer = far(room)
    sender = UdpSender(observer.udp, PID)
    bad = {"bad_magic": dict(magic=b"AV"), "bad_version": dict(version=1), "bad_crc": dict(crc=1), "bad_status": dict(status=9),
           "stall_on_wire": dict(status=STALL), "bad_pid": dict(pid=1), "bad_timestamp": dict(timestamp=2**64 - 1)}
    for kind, fields in bad.items():
        sender.beat(**fields)
        wait_counter(observer, f'decode_errors_total{{kind="{kind}"}}', 1)
    assert observer.counter("beats_total") == 0 and observer.rows() == []


@case("an old nonce is refused and does not end a silence")
def _(room):
    observer = far(room, threshold="10s")
    sender = UdpSender(observer.udp, PID)
    for nonce in (5, 6, 6, 5, 1):
        sender.beat(nonce)
    wait_counter(observer, "out_of_order_total", 3)
    wait_beats(observer, HOST, PID, 2)


@case("a process of another host that falls silent is told with what can be known, and never ends")
def _(room):
    observer = far(room, threshold="300ms")
    sender = UdpSender(observer.udp, PID)
    sender.beat()
    stall = observer.events.wait("stall", pid=PID)
    assert stall["verdict"] == "silent" and stall["host"] == HOST, stall
    assert "host" in stall["evidence"], stall
    assert observer.events.wait("stall", name=f"{HOST}/{PID}")
    assert row(observer, HOST, PID, "stalled")
    sender.beat()
    assert observer.events.wait("recovered", pid=PID)["host"] == HOST
    assert not observer.ends(), observer.ends()


@case("a beat in time postpones the deadline of a process of another host")
def _(room):
    observer = far(room, threshold="1s")
    sender = UdpSender(observer.udp, PID)
    with Steady(sender):
        until(lambda: beats(observer, HOST, PID) > 40, "forty beats in two thresholds")
    assert not observer.stalls(), observer.stalls()
    assert beats(observer, HOST, PID) == row(observer, HOST, PID)["nonce"], "none was lost"


@case("equal pids here and elsewhere are two processes: neither's beats, silence or end are the other's", limit=60)
def _(room):
    observer = far(room, threshold="500ms")
    worker = Worker(observer.socket, 50)
    observer.events.wait("first-beat", pid=worker.pid)
    sender = UdpSender(observer.udp, worker.pid)
    sender.beat()
    wait_beats(observer, HOST, worker.pid, 1)
    observer.events.wait("stall", pid=worker.pid, host=HOST)
    here = [r for r in observer.rows() if r["pid"] == worker.pid and not r.get("host")]
    assert len(here) == 1 and here[0]["state"] == "healthy" and here[0]["origin"] == "kernel-attested", here
    with Steady(sender):
        observer.events.wait("recovered", pid=worker.pid, host=HOST)
        # The other way round: the beats from afar do not speak for the one who is stopped here.
        worker.stop()
        until(lambda: [s for s in observer.stalls(pid=worker.pid) if not s.get("host")], "the stall of the local one")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        ended = observer.events.wait("end", pid=worker.pid)
        assert not ended.get("host"), ended
        before = beats(observer, HOST, worker.pid)
        until(lambda: beats(observer, HOST, worker.pid) > before + 3, "beats after the other's end")
    assert len(observer.ends()) == 1


@case("what is done about a process of another host never touches the one here that has its pid", limit=60)
def _(room):
    observer = far(room, threshold="300ms", on_stall="term 200ms, kill", act_on="silent,blocked",
                   arguments=["--plaintext-udp-i-accept-recovery-on-unauthenticated-transport"])
    innocent = subprocess.Popen(["sleep", "100"])
    UdpSender(observer.udp, innocent.pid).beat()
    observer.events.wait("stall", pid=innocent.pid)
    assert row(observer, HOST, innocent.pid)["origin"] == "operator-attested"
    worker = Worker(observer.socket, 50)
    observer.events.wait("first-beat", pid=worker.pid)
    worker.do("interval 0")
    observer.events.wait("stall", pid=worker.pid)
    observer.events.wait("end", pid=worker.pid)  # what would have been done has been done by now
    assert innocent.poll() is None, "a process of this host was signalled"
    innocent.kill()
    innocent.wait()


@case("a command runs about a process of another host only when the operator vouches for the way", limit=60)
def _(room):
    calls = Lines(room, "ran")
    script = room.write("act.sh", f'echo "$1" >>{calls.path}\n', 0o644)
    observer = far(room, threshold="300ms", recovery_exec=f"/bin/sh {script} {{pid}}",
                   arguments=["--plaintext-udp-i-accept-recovery-on-unauthenticated-transport"])
    UdpSender(observer.udp, PID).beat()
    observer.events.wait("stall", pid=PID)
    assert row(observer, HOST, PID)["origin"] == "operator-attested"
    until(lambda: calls.seen() or observer.withheld(), "an action or why there is none")
    assert calls.seen() in ([str(PID)], []), calls.seen()
    assert calls.seen() or observer.withheld()[0].get("host") == HOST, observer.withheld()


@case("last words are a critical status, again and again only when they are newer")
def _(room):
    observer = far(room, threshold="10s")
    sender = UdpSender(observer.udp, PID)
    sender.beat()
    wait_beats(observer, HOST, PID, 1)
    sender.last_words(timestamp=500)
    told = observer.events.wait("status", pid=PID, status="critical")
    assert told["host"] == HOST, told
    for timestamp in (500, 499, 0):
        sender.last_words(timestamp=timestamp)
    wait_counter(observer, "out_of_order_total", 3)
    assert row(observer, HOST, PID, "critical") and not observer.ends()


@case("clocks of other hosts are their own: the start, the far future, and backwards")
def _(room):
    observer = far(room, threshold="10s")
    sender = UdpSender(observer.udp, PID)
    stamps = [0, 2**64 - 2, 1, 2**63, time.time_ns(), 0, 5]
    for timestamp in stamps:
        sender.beat(timestamp=timestamp)
    wait_beats(observer, HOST, PID, len(stamps))
    assert observer.counter("observer_clock_regression_total") == 0 and observer.counter("observer_clock_jump_forward_total") == 0
    assert not observer.stalls()


@case("a pid that no host can have is refused, and one that only others can have is not")
def _(room):
    observer = far(room)
    sender = UdpSender(observer.udp, PID)
    sender.beat()
    wait_beats(observer, HOST, PID, 1)
    # The bits above a pid must not lead to somebody else.
    impossible = [1 << 22, 1 << 22 | PID, 2 << 22 | PID, 0x80000000 | PID, 2**32 - 1]
    for count, pid in enumerate(impossible, 1):
        sender.beat(pid=pid)
        wait_counter(observer, "frame_rejected_pid_above_max_total", count)
    assert len(observer.rows()) == 1 and row(observer, HOST, PID)["beats"] == 1, observer.rows()
    sender.beat(nonce=1, pid=(1 << 22) - 1)
    wait_beats(observer, HOST, (1 << 22) - 1, 1)


@case("a rule about hosts names their processes and gives them their threshold")
def _(room):
    config = room.write("belay.conf", "[process web]\nhost = ud*\nthreshold = 400ms\n[process db]\nhost = elsewhere\nthreshold = 10ms\n")
    observer = far(room, config=config, threshold="30s")
    UdpSender(observer.udp, PID).beat()
    found = wait_beats(observer, HOST, PID, 1)
    assert found["name"] == f"{HOST}/web" and found["threshold_s"] == 0.4 and found["rule"] == "web", found
    stall = observer.events.wait("stall", pid=PID)
    assert stall["name"] == f"{HOST}/web" and stall["threshold_s"] == 0.4, stall
    local = Worker(observer.socket)
    observer.events.wait("first-beat", pid=local.pid)
    near = [r for r in observer.rows() if r["pid"] == local.pid]
    assert near[0]["threshold_s"] == 30 and "web" not in near[0]["name"], "a rule about hosts is not about this one"


@case("a rule without a host is not about other hosts")
def _(room):
    config = room.write("belay.conf", f"[process web]\ncomm = *\nthreshold = 10ms\n[process own]\nuid = {os.geteuid()}\nthreshold = 10ms\n")
    observer = far(room, config=config, threshold="30s")
    UdpSender(observer.udp, PID).beat()
    found = wait_beats(observer, HOST, PID, 1)
    assert found["name"] == f"{HOST}/{PID}" and found["threshold_s"] == 30 and found["rule"] is None, found


@case("metrics count processes of other hosts by their names")
def _(room):
    config = room.write("belay.conf", "[process web]\nhost = udp\n")
    observer = far(room, config=config)
    sender = UdpSender(observer.udp, PID)
    sender.beat()
    wait_beats(observer, HOST, PID, 1)
    until(lambda: series(observer).get(f'belay_beats_total{{name="{HOST}/web"}}') == 1, lambda: f"its series in {series(observer)}")
    sender.put(b"short")
    until(lambda: series(observer).get("belay_truncated_datagrams_total") == 1, lambda: f"the counter in {series(observer)}")


@case("one that floods is cut to its rate, over UDP as elsewhere")
def _(room):
    observer = far(room, max_beat_rate=10, threshold="10s")
    sender = UdpSender(observer.udp, PID)
    began = time.monotonic()
    while time.monotonic() - began < 1:
        sender.beat()
        time.sleep(0.001)
    until(lambda: observer.counter('rate_limited_total{reason="per_pid"}') > 50, "refused beats")
    assert beats(observer, HOST, PID) <= 10 * (time.monotonic() - began) + 5


@case("another observer goes on with the processes of other hosts")
def _(room):
    room.need_tmpfs()
    observer = far(room, threshold="5s")
    sender = UdpSender(observer.udp, PID)
    for _ in range(3):
        sender.beat()
    wait_beats(observer, HOST, PID, 3)
    for end in (observer.stop, observer.kill):
        end()
        mark = observer.events.mark()
        observer.start()
        found = row(observer, HOST, PID)
        assert found and found["name"] == f"{HOST}/{PID}" and found["nonce"] == sender.nonce, found
        sender.beat()
        until(lambda: row(observer, HOST, PID)["nonce"] == sender.nonce, "its next beat")
        assert not observer.events.matching("first-beat", since=mark), "it is not new"
    assert not observer.ends() and not observer.stalls(), observer.events.seen


@case("one of another host that fell silent while no observer ran is stalled, not ended")
def _(room):
    room.need_tmpfs()
    observer = far(room, threshold="400ms")
    UdpSender(observer.udp, PID).beat()
    wait_beats(observer, HOST, PID, 1)
    observer.kill()
    observer.start()
    observer.events.wait("stall", pid=PID, host=HOST)
    assert not observer.ends()


@case("a killed gate is replaced, and hears the other hosts again")
def _(room):
    room.need_tmpfs()
    observer = far(room, threshold="5s")
    sender = UdpSender(observer.udp, PID)
    with Steady(sender):
        until(lambda: beats(observer, HOST, PID) > 3, "beats")
        observer.replace_role("gate")
        nonce = row(observer, HOST, PID)["nonce"]
        until(lambda: row(observer, HOST, PID)["nonce"] > nonce + 5, "beats at the next gate")
    assert not observer.stalls() and not observer.ends()


@case("a reload changes nothing for processes of other hosts")
def _(room):
    observer = far(room, config=room.write("belay.conf", "[process web]\nhost = udp\n"), threshold="5s")
    sender = UdpSender(observer.udp, PID)
    with Steady(sender):
        until(lambda: beats(observer, HOST, PID) > 3, "beats")
        reload(observer)
        nonce = row(observer, HOST, PID)["nonce"]
        until(lambda: row(observer, HOST, PID)["nonce"] > nonce + 5, "beats after it")
    found = row(observer, HOST, PID)
    assert found["beats"] == found["nonce"] and found["name"] == f"{HOST}/web", found
    room.write("belay.conf", "[process db]\nhost = udp\n")
    reload(observer)
    assert row(observer, HOST, PID)["name"] == f"{HOST}/db"


@case("UDP over IPv6")
def _(room):
    with contextlib.closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            raise Skip("no IPv6 here") from error
    observer = far(room, bind="::1")
    UdpSender(observer.udp, PID).beat()
    wait_beats(observer, HOST, PID, 1)


@case("an address to bind that is none is refused, and so is one without a port")
def _(room):
    for name, options in (("a", dict(udp_port=free_port(), udp_bind_addr="here")), ("b", dict(udp_bind_addr="127.0.0.1")),
                          ("c", dict(udp_port=70000)), ("d", dict(udp_port="http"))):
        code, said = Observer(room, start=False, name=name, arguments=["--i-accept-plaintext-udp"], **options).refuse()
        assert code > 0 and "udp" in said, (options, code, said)


if __name__ == "__main__":
    main()
