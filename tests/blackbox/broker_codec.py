"""broker_codec.py - broker v1 as somebody else would speak it: proto/broker.proto and the protobuf library

Nothing here uses Belay's code. The messages are classes of `pb` (pb.Frame, pb.Hello ...), made from the .proto file by
protoc when this module is imported; around them are the framing and what tests need to talk to a socket.
"""
import importlib.util
import os
import shutil
import struct
import subprocess
import tempfile

PROTOC = os.environ.get("BELAY_PROTOC") or shutil.which("protoc")
PROTO = os.environ.get("BELAY_PROTO") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../proto/broker.proto")

HEADER = 5
FRAME_MAX = 16 * 1024 * 1024
HELLO_MAX = 65536
CONTROL, ADMIN, PROBE, HANDOFF, SESSION = 0x0000, 0xAD01, 0xB232, 0xD0FF, 0x5350
REQUEST, RESPONSE, EVENT, CANCEL = range(4)
CAP_HANDLE_PASSING = 1


def _compile():
    with tempfile.TemporaryDirectory(prefix="belay-proto-") as directory:
        source = os.path.abspath(PROTO)
        subprocess.run([PROTOC, f"--python_out={directory}", f"--proto_path={os.path.dirname(source)}", source], check=True)
        path = os.path.join(directory, "broker_pb2.py")
        spec = importlib.util.spec_from_file_location("broker_pb2", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


pb = _compile()


# --- frames --------------------------------------------------------------------------------------------------------

def framed(body, version=1, length=None):
    """BODY with its header."""
    return struct.pack("<BI", version, len(body) if length is None else length) + body


def envelope(protocol, message=b"", kind=REQUEST, request_id=0, **fields):
    """A whole frame whose payload is MESSAGE, bytes or one of pb's."""
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    fields = {"envelope_version": 1, **fields}
    return framed(pb.Frame(kind=kind, payload_protocol=protocol, payload=payload, request_id=request_id,
                           **fields).SerializeToString())


def unframe(data):
    """(the Frame that DATA begins with, what follows it), or None: more is needed."""
    if data and data[0] != 1:
        raise ValueError(f"framing byte {data[0]}")
    if len(data) < HEADER:
        return None
    length = struct.unpack("<I", data[1:HEADER])[0]
    if length > FRAME_MAX:
        raise ValueError(f"a body of {length} bytes")
    if len(data) < HEADER + length:
        return None
    return pb.Frame.FromString(data[HEADER:HEADER + length]), data[HEADER + length:]


def read_exactly(socket, count):
    """COUNT bytes of SOCKET, none more; fewer when it ends before."""
    data = b""
    while len(data) < count:
        part = socket.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def read_frame(socket):
    """The next Frame of SOCKET, None at its end; reads nothing beyond it."""
    head = read_exactly(socket, HEADER)
    if not head:
        return None
    assert len(head) == HEADER and head[0] == 1, head
    length = struct.unpack("<I", head[1:])[0]
    assert length <= FRAME_MAX, length
    body = read_exactly(socket, length)
    assert len(body) == length, f"ended after {len(body)} of {length} bytes"
    return pb.Frame.FromString(body)


# --- bytes ---------------------------------------------------------------------------------------------------------

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)


def varint(number, width=1):
    """NUMBER in at least WIDTH bytes."""
    data = b""
    while number > 0x7F or len(data) + 1 < width:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def key(number, wire_type, width=1):
    return varint(number << 3 | wire_type, width)
