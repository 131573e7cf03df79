#!/usr/bin/python3
"""A full table, who makes room in it, and the names of all counters."""
import os
import signal
import time

from harness import *

# Section 8 of the reference without its prefix, as far as this observer has what they count, with its labels.
REFERENCE = """
beats_total stalls_total tracker_evicted_total frame_auth_failures_total io_errors_total ctrl_truncated_total
tracker_capacity_exceeded_total tracker_eviction_scan_truncated_total tracker_capacity tracker_eviction_scan_window_max
socket_bind_dir_fsync_failed_total origin_conflict_total frame_namespace_mismatch_total frame_rejected_pid_above_max_total
tracker_namespace_conflict_total tracker_pid_recycle_total tracker_invariant_violations_total
tracker_pid_index_probe_exhausted_total pid_max_current truncated_datagrams_total observer_uds_rcvbuf_bytes
observer_clock_regression_total observer_clock_jump_forward_total nonce_wrap_total watch_uptime_seconds watch_pids_tracked
""".split()
LABELS = {
    "decode_errors_total": [f'kind="{kind}"' for kind in ("bad_magic", "bad_version", "bad_status", "bad_pid", "bad_timestamp",
                                                         "bad_nonce", "stall_on_wire", "bad_crc")],
    "rate_limited_total": ['reason="per_pid"', 'reason="global"'],
}


@case("every counter is there from the first moment, by its name and with its labels")
def _(room):
    observer = Observer(room)
    row = ask(observer.socket, COUNTERS)[2][0]
    missing = [name for name in REFERENCE if not isinstance(row.get(name), (int, float))]
    assert not missing, missing
    for name, labels in LABELS.items():
        assert list(row[name]) == labels, row[name]
    gauges = {"tracker_capacity", "tracker_eviction_scan_window_max", "observer_uds_rcvbuf_bytes", "pid_max_current",
              "watch_uptime_seconds"}
    for name, value in counters(observer.socket).items():
        assert name in gauges or value == 0, (name, value)


@case("gauges tell what is configured and what the kernel grants")
def _(room):
    observer = Observer(room, capacity=77, eviction_scan_window=33)
    now = observer.counters()
    assert now["tracker_capacity"] == 77 and now["tracker_eviction_scan_window_max"] == 33
    assert now["pid_max_current"] == int(read_file("/proc/sys/kernel/pid_max"))
    assert now["observer_uds_rcvbuf_bytes"] > 0
    until(lambda: observer.counter("watch_uptime_seconds") >= 1, "a second")


@case("in a full table newcomers are refused as long as the others are fine")
def _(room):
    observer = Observer(room, capacity=3, threshold="10s")
    workers = [Worker(observer.socket, 50) for _ in range(3)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    late = Worker(observer.socket, 50)
    until(lambda: observer.counter("tracker_capacity_exceeded_total") >= 3, "refusals")
    assert {row["pid"] for row in observer.rows()} == {worker.pid for worker in workers}
    assert observer.counter("tracker_evicted_total") == 0
    # An end makes room.
    workers[0].tell("exit 0")
    observer.events.wait("first-beat", pid=late.pid)


@case("the long stalled makes room for a newcomer, and nobody else")
def _(room):
    observer = Observer(room, capacity=3, threshold="100ms")
    workers = [Worker(observer.socket, 20) for _ in range(3)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    workers[1].stop()
    observer.events.wait("stall", pid=workers[1].pid)
    ten = time.monotonic() + 1.1
    until(lambda: time.monotonic() > ten, "ten thresholds")
    late = Worker(observer.socket, 20)
    evicted = observer.events.wait("evicted")
    assert evicted["pid"] == workers[1].pid, evicted
    observer.events.wait("first-beat", pid=late.pid)
    assert observer.counter("tracker_evicted_total") == 1
    assert {row["pid"] for row in observer.rows() if row["state"] != "ended"} == {workers[0].pid, workers[2].pid, late.pid}


@case("a stall that is not long past makes no room")
def _(room):
    observer = Observer(room, capacity=2, threshold="400ms")
    silent, fine = Worker(observer.socket, 40), Worker(observer.socket, 40)
    for worker in (silent, fine):
        observer.events.wait("first-beat", pid=worker.pid)
    silent.stop()
    observer.events.wait("stall", pid=silent.pid)
    Worker(observer.socket, 40)
    until(lambda: observer.counter("tracker_capacity_exceeded_total") >= 1, "a refusal")
    assert not observer.events.matching("evicted")
    assert observer.counter("tracker_eviction_scan_truncated_total") >= 1


@case("a thousand processes are tracked, none is lost and none stalls", limit=100)
def _(room):
    observer = Observer(room, threshold="60s", capacity=1100, **(dict(dgram_qlen=512) if ROOT else {}))

    def run(tell, told):
        pids = []
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                Sender(observer.socket).beat()
                signal.pause()
            pids.append(pid)
        tell("ready")
        told()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    children = [Child(run) for _ in range(10)]
    for child in children:
        assert child.hear() == "ready"
    until(lambda: observer.counter("watch_pids_tracked") == 1000, lambda: f"1000: {observer.counter('watch_pids_tracked')}")
    for child in children:
        child.say()
    until(lambda: observer.counter("watch_pids_tracked") == 0, "all ends")
    assert len(observer.ends()) == 1000 and not observer.stalls()


if __name__ == "__main__":
    main()
