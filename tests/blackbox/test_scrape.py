#!/usr/bin/python3
"""What the exporter serves, to whom, and that nobody who asks strangely hinders others."""
import os
import signal
import time
import urllib.parse
import urllib.request

from harness import *

TEXT, OPENMETRICS = "text/plain; version=0.0.4", "application/openmetrics-text"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")


def connect(at, patience=PATIENCE):
    """A connection to AT: a path, or (address, port)."""
    client = socket.socket(socket.AF_UNIX if isinstance(at, str) else socket.AF_INET, socket.SOCK_STREAM)
    client.connect(at)  # waits for a place in the queue
    client.settimeout(patience)
    return client


def read_all(client):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            data += chunk
    return data


def exchange(at, request_bytes):
    """(status, headers, body) of the answer to REQUEST_BYTES; status 0: closed without one."""
    with contextlib.closing(connect(at)) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request_bytes)
        data = read_all(client)
    if not data:
        return 0, {}, ""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" in headers:
        assert len(body) == int(headers["content-length"]), (headers, len(body))
    return int(first.split()[1]), headers, body.decode()


def get(at, path="/metrics", method="GET", **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: here", "Connection: close"] + [f"{k}: {v}" for k, v in headers.items()]
    return exchange(at, "\r\n".join(lines + ["", ""]).encode())


def door(observer):
    """Where its metrics are by default, once somebody answers there."""
    path = observer.socket + ".metrics"

    def answers():
        with contextlib.suppress(OSError):
            return get(path)[0] == 200
        return False
    until(answers, lambda: f"an answer at {path}; log: {observer.log()}")
    return path


def series(body):
    """The samples of a body: `name{labels}` and its value."""
    found = {}
    for line in body.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"{name} twice"
            found[name] = float(value)
    return found


def scrape(at, **headers):
    status, _, body = get(at, **headers)
    assert status == 200, (status, body)
    return series(body)


def until_series(at, condition, what):
    """The first scrape for which CONDITION is true: a body is kept for a second."""
    last = {}

    def look():
        nonlocal last
        with contextlib.suppress(OSError, AssertionError, KeyError):
            last = scrape(at)
            return condition(last)
        return False
    until(look, lambda: f"{what}; last: " + "\n".join(f"{k} {v}" for k, v in last.items() if "{name=" in k))
    return last


def number(at, name):
    """One value now, or None when there is no answer or no such series."""
    with contextlib.suppress(OSError):
        status, _, body = get(at)
        return series(body).get(name) if status == 200 else None
    return None


def state(name, word):
    return f'belay_process_state{{name="{name}",state="{word}"}}'


def named(observer, *names, interval=50):
    workers = [Worker(observer.socket, interval, env={"BELAY_NAME": name}) for name in names]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    return workers


def tcp_address(observer):
    """Where it says that it listens."""
    def told():
        return re.search(r"http://127\.0\.0\.1:(\d+)/metrics", observer.log())
    return "127.0.0.1", int(until(told, lambda: "the address in the log: " + observer.log()).group(1))


def check_metrics(body, *arguments):
    if PROMTOOL is None:
        raise Skip("there is no promtool")
    done = subprocess.run([PROMTOOL, "check", "metrics", *arguments], input=body, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and done.stdout + done.stderr == "", (done.returncode, done.stdout, done.stderr)


# --- what is told --------------------------------------------------------------------------------------------------

@case("metrics are served at a Unix socket beside the observer's, by name")
def _(room):
    observer = Observer(room, threshold="700ms")
    at = door(observer)
    named(observer, "web", "db")
    found = until_series(at, lambda s: s.get('belay_beats_total{name="web"}', 0) > 5 and s.get('belay_beats_total{name="db"}', 0) > 5, "beats by name")
    assert found['belay_processes{name="web"}'] == 1 and found['belay_stalls_total{name="web"}'] == 0, found
    assert found['belay_silence_threshold_seconds{name="web"}'] == 0.7, found
    assert abs(found['belay_last_beat_timestamp_seconds{name="web"}'] - time.time()) < 30, found
    assert found["belay_observer_beats_total"] >= 12 and found["belay_watch_pids_tracked"] == 2, found
    assert found["belay_tracker_capacity"] == 4096, found
    assert any(name.startswith("belay_build_info{") and value == 1 for name, value in found.items())
    assert not any("pid=" in name for name in found), "a pid in a label"
    status, headers, body = get(at)
    assert status == 200 and headers["content-type"].startswith(TEXT), headers
    assert "# TYPE belay_beats_total counter" in body and "# HELP belay_beats_total " in body and "# EOF" not in body
    assert stat.S_IMODE(os.stat(at).st_mode) & 0o077 == 0, "others may ask"


@case("names that are expected are there with nobody behind them, and counters are there at zero")
def _(room):
    config = room.write("c.conf", "[process web]\nexpect = 2\nthreshold = 3s\n[process db]\nexpect = 1\n")
    observer = Observer(room, config=config, on_stall="kill")
    at = door(observer)
    found = scrape(at)
    for name, expected in (("web", 2), ("db", 1)):
        assert found[f'belay_expected_processes{{name="{name}"}}'] == expected, found
        assert found[f'belay_processes{{name="{name}"}}'] == 0 and found[f'belay_beats_total{{name="{name}"}}'] == 0, found
        assert f'belay_last_beat_timestamp_seconds{{name="{name}"}}' not in found
    for name in ('belay_recovery_outcomes_total{outcome="spawned"}', 'belay_actions_withheld_total{reason="action_limit"}',
                 'belay_decode_errors_total{kind="bad_crc"}', 'belay_alerts_total{kind="stall"}', "belay_mass_stalls_total",
                 "belay_alert_failures_total", "belay_audit_fsync_seconds_count"):
        assert found[name] == 0, (name, found.get(name))
    worker, = named(observer, "web")
    found = until_series(at, lambda s: s['belay_processes{name="web"}'] == 1, "the process of an expected name")
    assert found['belay_expected_processes{name="web"}'] == 2, found
    worker.tell("exit 0")
    until_series(at, lambda s: s['belay_processes{name="web"}'] == 0 and s['belay_beats_total{name="web"}'] >= 1, "nobody, and what he had counted")


@case("counters by name go on when a process is replaced, and its crash is counted")
def _(room):
    observer = Observer(room)
    at = door(observer)
    highest = 0
    for turn in range(1, 4):
        worker, = named(observer, "web", interval=20)
        enough = highest + 10

        def more(wanted):
            nonlocal highest
            beats = number(at, 'belay_beats_total{name="web"}')
            assert beats is None or beats >= highest, (beats, highest)
            highest = beats or highest
            return highest >= wanted
        until(lambda wanted=enough, more=more: more(wanted), "beats that go on")
        worker.tell("exit 3")
        observer.events.wait("end", count=turn)
    found = until_series(at, lambda s: s.get('belay_crashes_total{name="web"}') == 3, "three crashes")
    assert found['belay_beats_total{name="web"}'] >= highest and found.get('belay_processes{name="web"}', 0) == 0, found
    assert found['belay_ends_total{end="exited"}'] + found['belay_ends_total{end="unknown"}'] == 3, found


@case("each state is a gauge, and who is stalled is in the state of his verdict")
def _(room):
    observer = Observer(room, threshold="500ms")
    at = door(observer)
    worker, other = named(observer, "web", "other")
    until_series(at, lambda s: s.get(state("web", "healthy")) == 1 and s.get(state("other", "healthy")) == 1, "two healthy ones")
    worker.do(f"status {DEGRADED}")
    until_series(at, lambda s: s.get(state("web", "degraded")) == 1 and not s.get(state("web", "healthy")), "a degraded one")
    worker.stop()
    found = until_series(at, lambda s: s.get(state("web", "stopped")) == 1, "a stopped one")
    assert not found.get(state("web", "degraded")) and found['belay_stalls_total{name="web"}'] == 1, found
    assert sum(value for name, value in found.items() if name.startswith('belay_process_state{name="web"')) == 1, found
    assert found[state("other", "healthy")] == 1 and not found.get(state("other", "stopped")), found
    worker.send_signal(signal.SIGCONT)
    until_series(at, lambda s: s.get(state("web", "degraded")) == 1 and s["belay_recoveries_total"] == 1, "its return")


@case("who asks for OpenMetrics gets it, and its last line")
def _(room):
    observer = Observer(room)
    at = door(observer)
    named(observer, "web")
    until_series(at, lambda s: 'belay_beats_total{name="web"}' in s, "the name")
    for accept, kind in (("application/openmetrics-text; version=1.0.0", OPENMETRICS),
                         ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", OPENMETRICS),
                         ("text/plain;version=0.0.4,application/openmetrics-text;q=0.1", TEXT), ("*/*", TEXT), ("image/png", TEXT)):
        status, headers, body = get(at, Accept=accept)
        assert status == 200 and headers["content-type"].startswith(kind), (accept, headers)
        assert body.endswith("# EOF\n") == (kind == OPENMETRICS), accept
        assert re.search(r'^belay_beats_total\{name="web"\} \d', body, re.M), body[-2000:]
    _, _, body = get(at, Accept=OPENMETRICS)
    assert "# TYPE belay_beats counter" in body and body.count("# EOF") == 1, body[:2000]


@case("promtool has nothing to say about the metrics")
def _(room):
    config = room.write("c.conf", "[process expected]\nexpect = 1\n")
    observer = Observer(room, config=config, on_stall="kill", recovery_audit_file=room.file("audit"), arguments=["--metric-pids"])
    at = door(observer)
    worker, _ = named(observer, "web", "x.y@z#1-2")
    worker.do("interval 0")
    observer.events.wait("end", pid=worker.pid)
    found = until_series(at, lambda s: s.get('belay_crashes_total{name="web"}') == 1, "a crash")
    assert 'belay_processes{name="x.y@z#1-2"}' in found, found
    check_metrics(get(at)[2])


@case("actions are counted by what became of them")
def _(room):
    ordinary(room)
    config = room.write("c.conf", "[process good]\non-stall = command true\n[process bad]\non-stall = command false\n"
                        "[process none]\non-stall = command /nonexistent/x\n")
    observer = Observer(room, config=config, recovery_debounce_ms=600000, on_stall="kill")
    at = door(observer)
    workers = named(observer, "good", "bad", "none", interval=0)
    for worker, outcome in zip(workers, ("succeeded", "failed", "not-started")):
        observer.events.wait("action", pid=worker.pid, outcome=outcome)
    stopped, = named(observer, "stopped")
    stopped.stop()
    observer.events.wait("withheld", pid=stopped.pid, reason="verdict")
    outcome = "belay_recovery_outcomes_total{{outcome=\"{}\"}}".format
    found = until_series(at, lambda s: s[outcome("reaped_zero")] == 1 and s[outcome("reaped_nonzero")] == 1 and s[outcome("spawn_failed")] == 1
                         and s['belay_actions_withheld_total{reason="verdict"}'] == 1, "outcomes")
    assert found[outcome("spawned")] == 2 and found["belay_recovery_duration_count_total"] == 2, found
    assert found["belay_recovery_duration_seconds_total"] > 0, found


@case("belay metrics prints what is served, and says when nobody serves")
def _(room):
    observer = Observer(room)
    at = door(observer)
    named(observer, "web")
    until_series(at, lambda s: 'belay_beats_total{name="web"}' in s, "the name")
    code, out, err = belay("metrics", "--socket", observer.socket)
    assert (code, err) == (0, "") and set(series(out)) == set(scrape(at)), (code, err)
    code, out, err = belay("metrics", "--openmetrics", "--socket", observer.socket)
    assert (code, err) == (0, "") and out.endswith("# EOF\n"), (code, err)
    observer.stop()
    assert not os.path.exists(at)
    code, out, err = belay("metrics", "--socket", observer.socket)
    assert code == 69 and out == "" and err, (code, out, err)


@case("with the original's prefix the series are the original's, by pid")
def _(room):
    observer = Observer(room, metric_prefix="varta")
    at = observer.socket + ".metrics"
    door(observer)
    workers = named(observer, "web", "db")
    found = until_series(at, lambda s: all(s.get(f'varta_beats_total{{pid="{w.pid}"}}', 0) > 2 for w in workers), "beats by pid")
    assert not any(name.startswith("belay_") for name in found), found
    for worker in workers:
        assert found[f'varta_status{{pid="{worker.pid}"}}'] == 0 and found[f'varta_stalls_total{{pid="{worker.pid}"}}'] == 0, found
    workers[0].stop()
    until_series(at, lambda s: s.get(f'varta_status{{pid="{workers[0].pid}"}}') == 3, "the stall")
    workers[1].tell("exit 0")
    until_series(at, lambda s: f'varta_beats_total{{pid="{workers[1].pid}"}}' not in s, "no row of one that ended")
    assert found["varta_tracker_capacity"] == 4096 and found['varta_decode_errors_total{kind="bad_crc"}'] == 0, found
    assert found["varta_watch_pids_tracked"] == 2, found


@case("with --metric-pids the pids behind a name are told, and only there")
def _(room):
    observer = Observer(room, arguments=["--metric-pids"])
    at = door(observer)
    worker, = named(observer, "web")

    def told(found):
        return [name for name, value in found.items() if f'pid="{worker.pid}"' in name and value == 1]
    found = until_series(at, told, "the pid")
    name, = told(found)
    assert name.startswith("belay_process_info{") and 'name="web"' in name, name
    assert [n for n in found if "pid=" in n] == [name], found


@case("the textfile is whole, readable by others, and written again", limit=90)
def _(room):
    path = room.file("belay.prom")
    observer = Observer(room, metrics_textfile=path, metrics_socket="none")
    named(observer, "web")
    until(lambda: os.path.exists(path), "the textfile", 30)
    first = read_file(path)
    assert first.endswith("\n") and any(name.startswith("belay_build_info") for name in series(first)), first[-500:]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 and "# EOF" not in first
    until(lambda: series(read_file(path)).get('belay_beats_total{name="web"}', 0) > 1, "the textfile written again", 40)
    assert not os.path.exists(observer.socket + ".metrics")
    until(lambda: not os.path.exists(path + ".tmp"), "no unfinished file")
    assert belay("metrics", "--socket", observer.socket)[0] == 69


# --- health --------------------------------------------------------------------------------------------------------

@case("/livez says whether the gate turns, and /readyz whether beats are received")
def _(room):
    observer = Observer(room)
    at = door(observer)
    assert get(at, "/livez")[0] == 200
    until(lambda: get(at, "/readyz")[0] == 200, "readiness")
    gate = observer.gate()
    os.kill(gate, signal.SIGSTOP)
    until(lambda: get(at, "/livez")[0] == 503, "503 while the gate is stopped")
    # Whoever scrapes meanwhile is answered, one way or the other.
    assert get(at)[0] in (200, 503)
    os.kill(gate, signal.SIGCONT)
    until(lambda: get(at, "/livez")[0] == 200, "200 when it turns again")
    until(lambda: get(at, "/readyz")[0] == 200 and get(at)[0] == 200, "metrics when it turns again")


@case("other paths and methods are refused, HEAD and queries are not")
def _(room):
    observer = Observer(room)
    at = door(observer)
    for path in ("/", "/metric", "/metrics/", "/metrics.txt", "//metrics", "/../metrics", "/livez/x"):
        assert get(at, path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
        status, headers, _ = get(at, method=method, **{"Content-Length": "0"})
        assert status in (405, 501), (method, status)
        assert status != 405 or "GET" in headers["allow"], headers
    with contextlib.closing(connect(at)) as client:
        client.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0] and body == b"", (head, body[:100])
    assert get(at, "/metrics?name[]=x")[0] == 200
    assert exchange(at, b"GET /metrics HTTP/1.0\r\n\r\n")[0] == 200
    with contextlib.closing(connect(at)) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(client).count(b"HTTP/1.1 200") == 2


# --- TCP -----------------------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef" * 4


@case("over TCP a token is asked for, at every path, and the address is told")
def _(room):
    path = room.write("token", TOKEN + "\n", 0o600)
    observer = Observer(room, metrics_addr="127.0.0.1:0", metrics_token_file=path, prom_rate_limit_burst=0)
    at = tcp_address(observer)
    door(observer)
    for headers in ({}, {"Authorization": "Bearer " + TOKEN[:-1] + "0"}, {"Authorization": "Bearer " + TOKEN[:-1]}, {"Authorization": "Bearer"},
                    {"Authorization": "Basic " + TOKEN}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}0"}):
        for where in ("/metrics", "/livez", "/nothing"):
            status, answered, body = get(at, where, **headers)
            assert status == 401 and "bearer" in answered["www-authenticate"].lower(), (where, headers, status, answered)
            assert "belay_" not in body and TOKEN not in body, body
    good = {"Authorization": "Bearer " + TOKEN}
    assert get(at, **good)[0] == 200 and get(at, "/nothing", **good)[0] == 404 and get(at, "/livez", **good)[0] == 200
    assert get(at, method="POST", **good, **{"Content-Length": "0"})[0] == 405
    until_series(observer.socket + ".metrics", lambda s: s["belay_prom_auth_failures_total"] == 21, "failures by token")
    assert TOKEN not in observer.log()


@case("a loopback address needs no token; any other does, and a token that others can read is none")
def _(room):
    observer = Observer(room, metrics_addr="127.0.0.1:0")
    at = tcp_address(observer)
    until(lambda: get(at)[0] == 200, "an answer over TCP")
    observer.stop()
    code, said = Observer(room, start=False, name="o1", metrics_addr="0.0.0.0:0").refuse()
    assert code != 0 and "token" in said, (code, said)
    for text, mode in ((TOKEN, 0o640), (TOKEN, 0o604), (TOKEN[:-1], 0o600), (TOKEN[:-1] + "g", 0o600), ("", 0o600), (TOKEN + TOKEN, 0o600)):
        path = room.write("token", text, 0o600)
        os.chmod(path, mode)
        code, said = Observer(room, start=False, name="o2", metrics_addr="127.0.0.1:0", metrics_token_file=path).refuse()
        assert code != 0 and path in said and TOKEN[:8] not in said, (text, oct(mode), code, said)
    for address in ("127.0.0.1", "localhost:0", "127.0.0.1:65536", "x", ":9478x"):
        code, said = Observer(room, start=False, name="o3", metrics_addr=address).refuse()
        assert code != 0 and said, (address, code, said)


@case("who asks over TCP too often is refused and counted, and others are not")
def _(room):
    observer = Observer(room, metrics_addr="127.0.0.1:0", prom_rate_limit_burst=2, prom_rate_limit_per_sec=1)
    at = tcp_address(observer)
    local = door(observer)
    until(lambda: get(at)[0] not in (200,), "a refusal")
    assert get(local)[0] == 200
    until_series(local, lambda s: s['belay_prom_connections_dropped_total{reason="rate_limit"}'] >= 1, "the refusal counted")
    until(lambda: get(at)[0] == 200, "an answer later")


# --- those who ask strangely ---------------------------------------------------------------------------------------

@case("slow and silent clients hinder nobody, and are closed")
def _(room):
    observer = Observer(room, threshold="3s", metrics_addr="127.0.0.1:0", prom_rate_limit_burst=0)
    local, tcp = door(observer), tcp_address(observer)
    worker, = named(observer, "web")
    slow = []
    for at in (local, tcp):
        for number in range(30):
            with contextlib.suppress(OSError):
                client = connect(at)
                client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: "[:number + 1])
                slow.append(client)
    beats = observer.rows("web")[0]["beats"]

    def served():
        for client in slow:
            with contextlib.suppress(OSError):
                client.send(b"x")
        with contextlib.suppress(OSError):
            return get(local)[0] == 200 and get(tcp)[0] == 200
        return False
    until(served, "answers for others")
    for client in slow:
        read_all(client)
        client.close()
    until(lambda: observer.rows("web")[0]["beats"] > beats, "beats")
    assert not observer.stalls() and worker.process.poll() is None and observer.alive()
    assert observer.role("exporter"), "the exporter is gone"


@case("oversized and malformed requests are refused, and the next is served by the same exporter")
def _(room):
    observer = Observer(room, metrics_addr="127.0.0.1:0", prom_rate_limit_burst=0)
    local, tcp = door(observer), tcp_address(observer)
    exporter = observer.role("exporter")
    for at in (local, tcp):
        for data in (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 50000, b"\x00" * 5000 + b"\r\n\r\n", b"\xff" * 5000 + b"\r\n\r\n",
                     b"GET\r\n\r\n", b"\r\n" * 3000, b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
                     b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            status, _, body = exchange(at, data)
            assert status == 0 or status >= 400, (data[:40], status)
            assert "root:" not in body
            assert get(at)[0] == 200, data[:40]
    assert observer.role("exporter") == exporter


@case("clients that never read what they asked for hinder nobody")
def _(room):
    observer = Observer(room, threshold="3s")
    at = door(observer)
    named(observer, *(f"worker{i}" for i in range(5)))
    deaf = []
    for _ in range(40):
        client = connect(at)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with contextlib.suppress(OSError):
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        deaf.append(client)

    def served():
        with contextlib.suppress(OSError):
            return get(at)[0] == 200
        return False
    until(served, "an answer for another")
    assert not observer.stalls() and observer.alive()
    for client in deaf:
        client.close()


@case("many who ask at once are all answered while beats come in")
def _(room):
    observer = Observer(room, threshold="3s")
    at = door(observer)
    named(observer, "web", "db", interval=20)

    def storm(tell, told):
        answered = 0
        for _ in range(60):
            with contextlib.suppress(OSError):
                answered += get(at)[0] == 200
        tell(answered)
    children = [Child(storm) for _ in range(6)]
    answered = [int(child.hear()) for child in children]
    assert all(child.wait() == 0 for child in children) and min(answered) == 60, answered
    assert not observer.stalls()


# --- crashes -------------------------------------------------------------------------------------------------------

@case("a killed exporter is replaced, and no counter went down")
def _(room):
    observer = Observer(room, metrics_addr="127.0.0.1:0", prom_rate_limit_burst=0)
    local, tcp = door(observer), tcp_address(observer)
    worker, going = named(observer, "web", "going")
    going.tell("exit 3")
    observer.events.wait("end", pid=going.pid)
    before = until_series(local, lambda s: s.get('belay_beats_total{name="web"}', 0) > 10 and s.get('belay_crashes_total{name="going"}') == 1, "numbers")
    observer.replace_role("exporter")
    after = until_series(local, lambda s: s.get('belay_beats_total{name="web"}', 0) > before['belay_beats_total{name="web"}'], "more beats")
    for name, value in before.items():
        if re.match(r"belay_(beats|stalls|crashes|observer_beats|ends|decode_errors|recoveries|events_written)_total", name):
            assert after.get(name, -1) >= value, (name, value, after.get(name))
    assert get(tcp)[0] == 200 and worker.process.poll() is None


@case("counters by name do not go down when the gate is killed")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, threshold="2s")
    at = door(observer)
    worker, going = named(observer, "web", "going")
    going.tell("exit 3")
    observer.events.wait("end", pid=going.pid)
    before = until_series(at, lambda s: s.get('belay_beats_total{name="web"}', 0) > 10 and s.get('belay_crashes_total{name="going"}') == 1, "numbers")
    observer.replace_role("gate")
    lowest = before['belay_beats_total{name="web"}']

    def grown():
        beats = number(at, 'belay_beats_total{name="web"}')
        assert beats is None or beats >= lowest, (beats, lowest)
        return beats is not None and beats > lowest + 5
    until(grown, "more beats after the change of gates")
    after = scrape(at)
    for name, value in before.items():
        if re.match(r"belay_(beats|stalls|crashes)_total", name):
            assert after.get(name, -1) >= value, (name, value, after.get(name))
    assert worker.process.poll() is None


# --- Prometheus ----------------------------------------------------------------------------------------------------

def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@case("Prometheus scrapes it, with a token, and finds the numbers", limit=120)
def _(room):
    if PROMETHEUS is None:
        raise Skip("there is no prometheus")
    token = room.write("token", TOKEN, 0o600)
    observer = Observer(room, metrics_addr="127.0.0.1:0", metrics_token_file=token)
    address, port = tcp_address(observer)
    named(observer, "web")
    config = room.write("prometheus.yml", f"""global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: belay
    authorization: {{type: Bearer, credentials_file: {token}}}
    static_configs: [{{targets: ['{address}:{port}']}}]
""")
    listen = f"127.0.0.1:{free_port()}"
    with open(room.file("prometheus.log"), "w", encoding="utf-8") as log:
        server = subprocess.Popen([PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={room.file('tsdb')}", f"--web.listen-address={listen}",
                                   "--log.level=warn"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=room.path)

    def query(expression):
        assert server.poll() is None, read_file(room.file("prometheus.log"))
        url = f"http://{listen}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=PATIENCE) as answer:
                result = json.load(answer)["data"]["result"]
        except (OSError, ValueError):
            return None
        return float(result[0]["value"][1]) if result else None
    first = until(lambda: query("belay_observer_beats_total"), "a number in Prometheus", 60)
    until(lambda: (query("belay_observer_beats_total") or 0) > first, "a greater one", 30)
    assert until(lambda: query('belay_process_state{name="web",state="healthy"}'), "the state by name", 30) == 1
    assert query('up{job="belay"}') == 1
    server.terminate()
    server.wait(PATIENCE)


if __name__ == "__main__":
    main()
