"""backends.py - a backend of broker v1, written from the documents, that can break one rule at a time

Nothing here uses Belay's code. Each connection has a thread; a probe is answered on any of them, also on those that
were handed over. FAULTS are the rules that it breaks, by words that stand where they are broken.
"""
import array
import contextlib
import functools
import hashlib
import os
import signal
import socket
import stat
import struct
import threading
import time

REQUEST, RESPONSE, EVENT = 0, 1, 2
PROBE, HANDOFF = 0xB232, 0xD0FF
FRAME_MAX = 16 << 20
SLOW = 0.4  # seconds that a slow one takes for each answer


# --- protocol buffers ----------------------------------------------------------------------------------------------

def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b""


def fields(data):
    """{field: its last value}; ValueError: it is no message."""
    found, at = {}, 0

    def take_varint():
        nonlocal at
        value = 0
        for shift in range(0, 70, 7):
            if at >= len(data):
                raise ValueError("cut off")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a varint without end")
    while at < len(data):
        tag = take_varint()
        if tag >> 3 == 0:
            raise ValueError("field 0")
        if tag & 7 == 0:
            found[tag >> 3] = take_varint()
        elif tag & 7 == 2:
            size = take_varint()
            if size > len(data) - at:
                raise ValueError("cut off")
            found[tag >> 3] = data[at:at + size]
            at += size
        else:
            raise ValueError("a wire type that no field has")
    return found


def frame(kind, protocol, payload, request_id=0, version=1, encoding=0, traceparent=b"", tracestate=b""):
    body = (number(1, version) + number(2, kind) + number(3, protocol) + text(4, payload) + number(5, request_id) +
            number(6, encoding) + text(8, traceparent) + text(9, tracestate))
    return b"\x01" + struct.pack("<I", len(body)) + body


@functools.cache
def own_hash():
    with open("/proc/self/exe", "rb") as file:
        return hashlib.sha256(file.read()).digest()


def own_boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def record(path, pid=None, exe=None, sha256=None, boot_id=None, namespace="shared"):
    """The DaemonProcess of this process, as broker v1 wrote it up to 4.10.2."""
    return (number(1, pid or os.getpid()) + text(2, exe or os.readlink("/proc/self/exe")) +
            text(4, text(1, namespace) + text(2, path)) + number(5, 1700000000000) + text(6, boot_id or own_boot_id()) +
            text(3, own_hash() if sha256 is None else sha256))


def sidecar(path, pid=None, sha256=None, boot_id=None, exe=None):
    """The same as the JSON that such a daemon leaves, as a dictionary."""
    return {"pid": pid or os.getpid(), "exe_path": exe or os.readlink("/proc/self/exe"),
            "exe_sha256": list(own_hash() if sha256 is None else sha256), "boot_id": boot_id or own_boot_id(),
            "ipc_endpoint": {"namespace_id": "shared", "path": path}, "started_at_unix_ms": 1700000000000,
            "idle_timeout_secs": None}


# --- the backend ---------------------------------------------------------------------------------------------------

class Backend:
    def __init__(self, path, handoff=None, faults=(), **said):
        self.path, self.faults, self.said = path, set(faults), said
        self.tokens, self.clients = set(), []
        self.listeners = [(self.listen(path), self.serve)]
        if handoff:
            self.listeners.append((self.listen(handoff), self.receive))

    @staticmethod
    def listen(path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(64)
        return listener

    def run(self):
        """Never returns."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for listener, function in self.listeners:
            threading.Thread(target=self.accept, args=(listener, function), daemon=True).start()
        while True:
            signal.pause()

    def accept(self, listener, function):
        while True:
            connection = listener.accept()[0]
            if function == self.receive and "one-sender" in self.faults:
                self.guard(function, connection)
                continue
            threading.Thread(target=self.guard, args=(function, connection), daemon=True).start()

    def guard(self, function, connection):
        # What a peer does wrong ends its connection and nothing else.
        with contextlib.suppress(OSError):
            try:
                function(connection)
            except ValueError:
                if "noise" in self.faults and function == self.serve:
                    connection.sendall(b"400 Bad Request\r\n")
        connection.close()

    # Probes.

    def exactly(self, connection, size):
        data = b""
        while len(data) < size:
            more = connection.recv(size - len(data))
            if not more:
                raise ValueError("hung up")
            data += more
        return data

    def read_frame(self, connection):
        header = self.exactly(connection, 5)
        if header[0] != 1 and "any-framing" not in self.faults:
            raise ValueError("another framing")
        size = struct.unpack("<I", header[1:])[0]
        if size > FRAME_MAX and "no-cap" not in self.faults:
            raise ValueError("too large")
        if "one-read" in self.faults:
            body = connection.recv(size)
            if len(body) < size:
                raise ValueError("not in one piece")
        else:
            body = self.exactly(connection, size)
        if "one-frame" in self.faults:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.recv(65536)
            connection.setblocking(True)
        return fields(body)

    def serve(self, connection):
        while True:
            asked = self.read_frame(connection)
            if "strict-fields" in self.faults and set(asked) - set(range(1, 10)):
                raise ValueError("an unknown field")
            try:
                self.check_probe(asked)
            except ValueError:
                if "refuses" in self.faults:
                    connection.sendall(frame(RESPONSE, 0, b"", asked.get(5, 0)))
                raise
            if "slow" in self.faults:
                time.sleep(SLOW)
            connection.sendall(self.answer(asked))
            if "one-probe" in self.faults:
                return

    def check_probe(self, asked):
        def wrong(what, fault):
            if what and fault not in self.faults:
                raise ValueError(fault)
        nonce = len(asked.get(4, b""))
        wrong(asked.get(1, 0) != 1, "any-version")
        wrong(asked.get(2, 0) != REQUEST, "any-kind")
        wrong(asked.get(3, 0) != PROBE, "any-protocol")
        wrong(asked.get(6, 0) != 0, "any-encoding")
        wrong(nonce < 32, "short-nonce")
        wrong(nonce > 32, "long-nonce")

    def answer(self, asked):
        nonce, said = asked.get(4, b"")[:32], dict(self.said)
        request_id = asked.get(5, 0)
        traceparent, tracestate = asked.get(8, b""), asked.get(9, b"")
        if "nonce" in self.faults:
            nonce = nonce[:-1] + bytes([nonce[-1] ^ 1])
        if "request-id" in self.faults:
            request_id ^= 1
        if "trace" in self.faults:
            tracestate = b""
        if "hash" in self.faults:
            said["sha256"] = bytes(range(32))
        if "no-hash" in self.faults:
            said["sha256"] = b""
        own = record(said.pop("endpoint", self.path), **said)
        return frame(EVENT if "kind" in self.faults else RESPONSE, PROBE, nonce + own, request_id, traceparent=traceparent,
                     tracestate=tracestate)

    # Hand-overs.

    def receive(self, connection):
        token, fds = b"", array.array("i")
        connection.settimeout(None if "one-sender" in self.faults else 5)
        try:
            while len(token) < 16:
                data, control, _, _ = connection.recvmsg(16 - len(token), socket.CMSG_SPACE(16 * 4), socket.MSG_CMSG_CLOEXEC)
                for level, kind, value in control:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        fds.frombytes(value[:len(value) - len(value) % 4])
                if not data:
                    raise ValueError("hung up")
                token += data
            asked = self.read_frame(connection)
            offer = fields(asked.get(4, b""))
            refusal = self.refusal(token, offer, fds)
            if refusal is None:
                self.tokens.add(token)
            self.ack(connection, asked, offer, refusal)
            if refusal is None:
                self.adopt(fds.pop())
            elif "keep-refused" in self.faults and refusal == "handoff token mismatch":
                fds = []
        except ValueError:
            if "keep-abandoned" in self.faults and len(token) == 16:
                fds = []
            raise
        finally:
            for fd in fds:
                os.close(fd)

    def refusal(self, token, offer, fds):
        def wrong(what, fault, sentence):
            return sentence if what and fault not in self.faults else None

        def is_connected():
            if not fds or not stat.S_ISSOCK(os.fstat(fds[0]).st_mode):
                return False, False, False
            with socket.socket(fileno=os.dup(fds[0])) as passed:
                is_stream = passed.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
                return True, is_stream, passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        is_socket, is_stream, is_no_listener = is_connected()
        return (wrong(offer.get(2) != token, "any-token", "handoff token mismatch") or
                wrong(token in self.tokens, "replay", "handoff token is not pending") or
                ("no descriptor" if not fds else None) or
                wrong(len(fds) > 1, "two-fds", "more than one descriptor") or
                wrong(not is_socket, "file", "no socket") or
                wrong(is_socket and not is_stream, "datagram", "no stream") or
                wrong(is_socket and is_stream and not is_no_listener, "listener", "it listens"))

    def ack(self, connection, asked, offer, refusal):
        if refusal is not None and "no-ack" in self.faults:
            return
        token = offer.get(2, b"")
        if "ack-token" in self.faults:
            token = token[::-1]
        payload = text(1, token) + number(2, refusal is None) + text(3, refusal or "") + number(4, offer.get(4, 0))
        connection.sendall(frame(EVENT if "ack-kind" in self.faults else RESPONSE, HANDOFF, payload, asked.get(5, 0)))

    def adopt(self, fd):
        if "drop-client" in self.faults:
            os.close(fd)
        elif not stat.S_ISSOCK(os.fstat(fd).st_mode):
            self.clients.append(fd)
        else:
            client = socket.socket(fileno=fd)
            client.setblocking(True)
            threading.Thread(target=self.guard, args=(self.serve, client), daemon=True).start()
