#!/usr/bin/python3
"""The scripts of contrib/alert, each against a server on this host that speaks its protocol, run as Belay runs them."""
import base64
import email
import http.server
import pathlib
import socketserver
import threading

from harness import *

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "contrib" / "alert"
HOSTILE = 'a "name\\":\\"x\\"", $(id) `id` \\ \u00e4\u2713 </script> "alert":"crash"'
STALL = {"seq": 17, "time": "2026-01-02T03:04:05.678Z", "mono_ns": 123, "event": "stall", "name": "worker#3", "uid": 1000,
         "pid": 123, "verdict": "blocked", "evidence": HOSTILE, "silent_s": 5.001, "alert": "stall"}
CRASH = {"time": "2026-01-02T03:04:06.000Z", "event": "end", "name": "web", "uid": 0, "end": "killed", "code": 9, "alert": "crash"}
MISSING = {"time": "2026-01-02T03:04:06.500Z", "event": "missing", "name": "db", "expected": 1, "beating": 0, "alert": "missing",
           "repeats": 2, "reminder": 1}
CROWD = {"time": "2026-01-02T03:04:06.600Z", "event": "mass-stall", "name": "pool", "uid": 7, "alert": "mass-stall"}
ACTION = {"time": "2026-01-02T03:04:07.000Z", "event": "action", "name": "web", "uid": 0, "outcome": "started", "alert": "action"}
RECOVERED = {"time": "2026-01-02T03:05:00.000Z", "event": "recovered", "name": "worker#3", "uid": 1000, "alert": "recovered",
             "recovers": ["stall", "crash"]}
DROPPED = {"event": "alerts-dropped", "alert": "dropped", "count": 12}
TRY = {"time": "2026-01-02T03:04:08.000Z", "event": "test", "alert": "test"}


def need(*programs):
    for program in programs:
        if shutil.which(program, path="/usr/bin:/bin") is None:
            raise Skip(f"there is no {program}")


def lines_of(*alerts):
    return "".join(json.dumps(alert, ensure_ascii=False, separators=(",", ":")) + "\n" for alert in alerts)


def run(script, *arguments, alerts=(), conf=None, cwd="/", **env):
    """(exit status, stderr) of SCRIPT with ALERTS on a stdin that is a file, in the environment that Belay gives it."""
    text = lines_of(*alerts)
    with tempfile.TemporaryFile() as stdin:
        stdin.write(text.encode())
        stdin.seek(0)
        done = subprocess.run([str(SCRIPTS / script), *(("-c", conf) if conf else ()), *arguments], stdin=stdin, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, cwd=cwd,
                              env={"PATH": "/usr/bin:/bin", "BELAY_ALERTS": str(len(alerts)), **env})
    return done.returncode, done.stderr


class Http:
    """A server that keeps what it was asked: (method, path, headers, body)."""

    def __init__(self, status=200):
        self.status, self.asked = status, []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
                asked.append((handler.command, handler.path, dict(handler.headers), body.decode()))
                handler.send_response(self.status)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def only(self):
        assert len(self.asked) == 1, self.asked
        return self.asked.pop()


class Smtp:
    """A server that takes mails: (from, to, text); or says REFUSAL where the text would come."""

    def __init__(self, refusal=None):
        self.mails, self.users = mails, users = [], []

        class Handler(socketserver.StreamRequestHandler):
            def say(handler, line):
                handler.wfile.write(line.encode() + b"\r\n")

            def read(handler):
                line = handler.rfile.readline()
                assert line.endswith(b"\r\n") or not line, line
                assert len(line) <= 1000, "a line longer than SMTP allows"
                return line[:-2]

            def handle(handler):
                sender, recipients = None, []
                handler.say("220 here")
                while line := handler.read().decode():
                    verb = line.split(":")[0].split()[0].upper()
                    if verb == "EHLO":
                        handler.say("250-here\r\n250 AUTH PLAIN")
                    elif verb == "AUTH":
                        handler.say("334 ")
                        users.append(base64.b64decode(handler.read()).decode().split("\0")[1:])
                        handler.say("235 welcome")
                    elif verb == "MAIL":
                        sender = re.search("<(.*?)>", line).group(1)
                        handler.say("250 ok")
                    elif verb == "RCPT":
                        recipients.append(re.search("<(.*?)>", line).group(1))
                        handler.say("250 ok")
                    elif verb == "DATA" and refusal:
                        handler.say(refusal)
                    elif verb == "DATA":
                        handler.say("354 go on")
                        text = []
                        while (part := handler.read()) != b".":
                            text.append(part[1:] if part.startswith(b"..") else part)
                        mails.append((sender, recipients, b"\n".join(text).decode()))
                        handler.say("250 taken")
                    elif verb == "QUIT":
                        handler.say("221 bye")
                        return
                    else:
                        handler.say("502 what?")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"smtp://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- webhook ---------------------------------------------------------------------------------------------------------

@case("webhook posts one array of all alerts as they are")
def _(room):
    need("curl")
    server = Http()
    alerts = [STALL, CRASH, MISSING, RECOVERED, DROPPED]
    assert run("webhook", server.url + "/hook?a=b", alerts=alerts) == (0, "")
    method, path, headers, body = server.only()
    assert (method, path, headers["Content-Type"]) == ("POST", "/hook?a=b", "application/json")
    assert json.loads(body) == alerts, body


@case("webhook reads its configuration, and secrets are no arguments")
def _(room):
    need("curl")
    server = Http()
    conf = room.write("alert.conf", f"BELAY_WEBHOOK_URL='{server.url}/from-file'\nBELAY_WEBHOOK_HEADER='X-Key: a \"b\\\\c\"'\n")
    assert run("webhook", conf=conf, alerts=[TRY]) == (0, "")
    _, path, headers, _ = server.only()
    assert path == "/from-file" and headers["X-Key"] == 'a "b\\\\c"', headers
    assert run("webhook", server.url + "/argument", conf=conf, alerts=[TRY]) == (0, "")
    assert server.only()[1] == "/argument"


@case("webhook sends a full batch of 256 KiB")
def _(room):
    need("curl")
    server = Http()
    alerts = [dict(STALL, evidence=HOSTILE * 10, seq=i) for i in range(256)]
    assert run("webhook", server.url, alerts=alerts) == (0, "")
    assert json.loads(server.only()[3]) == alerts


@case("each script takes -c FILE where it stands, and says when FILE is left out")
def _(room):
    need("curl")
    server = Http()
    sendmail = room.write("sendmail", "#!/bin/sh\ncat >/dev/null\n", 0o755)
    room.write("c.conf", f"BELAY_WEBHOOK_URL={server.url}/a\nBELAY_ALERTMANAGER_URL={server.url}\n"
                         f"BELAY_HEALTHCHECKS_URL={server.url}/b\nBELAY_MAIL_TO=a@example.org\nBELAY_SENDMAIL={sendmail}\n")
    for script, words in (("webhook", ()), ("alertmanager", ()), ("healthchecks", ("ping",)), ("mail", ())):
        assert run(script, "-c", "c.conf", *words, alerts=[STALL], cwd=room.path) == (0, ""), script
        for line in (["-c"], ["-c", ""]):
            code, said = run(script, *line, alerts=[STALL])
            assert code == 2 and said == f"{script}: which file? say {script} -c FILE\n", (code, said)
    assert len(server.asked) == 3, server.asked


@case("what a user has curl do by default is not done here")
def _(room):
    need("curl")
    server = Http()
    room.write(".curlrc", f"proxy = {nobody_listens()}\n")
    smtp = room.write("smtp.conf", f"BELAY_SMTP_URL={Smtp().url}\n")
    for script, words, conf in (("webhook", (server.url,), None), ("alertmanager", (server.url,), None),
                                ("healthchecks", ("ping", server.url), None), ("mail", ("a@example.org",), smtp)):
        assert run(script, *words, conf=conf, alerts=[STALL], HOME=room.path) == (0, ""), script


@case("each script fails when its server refuses, is gone, or is not named")
def _(room):
    need("curl")
    refusing = Http(503)
    empty = room.write("alert.conf", "")
    for script, verb in (("webhook", ()), ("alertmanager", ()), ("healthchecks", ("alert",)), ("healthchecks", ("ping",))):
        assert run(script, *verb, refusing.url, alerts=[STALL])[0] == 22
        assert run(script, *verb, nobody_listens(), alerts=[STALL])[0] == 7
        code, said = run(script, *verb, conf=empty, alerts=[STALL])
        assert code == 78 and script in said, said
        assert run(script, *verb, conf=room.file("none"), alerts=[STALL])[0] == 78
    assert run("mail", conf=empty, alerts=[STALL])[0] == 78
    conf = room.write("smtp.conf", f"BELAY_SMTP_URL={Smtp('554 no').url}\n")
    assert run("mail", "a@example.org", conf=conf, alerts=[STALL])[0] != 0
    conf = room.write("smtp.conf", f"BELAY_SMTP_URL={nobody_listens().replace('http', 'smtp')}\n")
    assert run("mail", "a@example.org", conf=conf, alerts=[STALL])[0] == 7


# --- alertmanager ----------------------------------------------------------------------------------------------------

def posted(server):
    method, path, headers, body = server.only()
    assert (method, path, headers["Content-Type"]) == ("POST", "/api/v2/alerts", "application/json")
    return json.loads(body)


def seconds_until(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()


@case("alertmanager is told each problem with its labels and an end before which it is told again")
def _(room):
    need("curl")
    server = Http()
    conf = room.write("alert.conf", f"BELAY_ALERTMANAGER_URL={server.url}/\nBELAY_ALERT_HOST='h\\\"1'\n")
    assert run("alertmanager", conf=conf, alerts=[STALL, ACTION, CRASH, MISSING, CROWD, DROPPED, TRY]) == (0, "")
    alerts = posted(server)
    host = {"host": 'h\\"1'}
    assert [a["labels"] for a in alerts] == [
        dict(host, alertname="BelayStall", name="worker#3", uid="1000"),
        dict(host, alertname="BelayCrash", name="web", uid="0"),
        dict(host, alertname="BelayMissing", name="db"),
        dict(host, alertname="BelayMassStall", name="pool", uid="7"),
        dict(host, alertname="BelayAlertsDropped"),
        dict(host, alertname="BelayTest")], alerts
    assert alerts[0]["annotations"] == {"summary": "stall of worker#3", "description": HOSTILE}
    assert alerts[0]["startsAt"] == STALL["time"]
    for alert in alerts[:5]:
        assert 4.4 * 3600 < seconds_until(alert["endsAt"]) < 4.6 * 3600
    assert 200 < seconds_until(alerts[5]["endsAt"]) <= 300


@case("alertmanager is told the end of what a recovery closes, by the same labels")
def _(room):
    need("curl")
    server = Http()
    assert run("alertmanager", server.url, alerts=[STALL, RECOVERED]) == (0, "")
    fired, *ended = posted(server)
    assert fired["labels"]["host"] == os.uname().nodename
    assert ended == [{"labels": fired["labels"], "endsAt": RECOVERED["time"]},
                     {"labels": dict(fired["labels"], alertname="BelayCrash"), "endsAt": RECOVERED["time"]}]
    assert run("alertmanager", server.url, alerts=[dict(RECOVERED, recovers=[])]) == (0, "")
    assert [a["labels"]["alertname"] for a in posted(server)] == ["BelayStall", "BelayCrash", "BelayMissing", "BelayMassStall"]


@case("alertmanager is not asked about actions alone")
def _(room):
    need("curl")
    server = Http()
    assert run("alertmanager", server.url, alerts=[ACTION]) == (0, "") and not server.asked


# --- healthchecks ----------------------------------------------------------------------------------------------------

@case("healthchecks is pinged, told of failures, and of what is none")
def _(room):
    need("curl")
    server = Http()
    conf = room.write("alert.conf", f"BELAY_HEALTHCHECKS_URL={server.url}/uuid\n")
    assert run("healthchecks", "ping", conf=conf) == (0, "")
    assert server.only()[:2] == ("GET", "/uuid")
    for alert, path in ((STALL, "fail"), (CRASH, "fail"), (MISSING, "fail"), (CROWD, "fail"), (DROPPED, "fail"), (TRY, "log"),
                        (RECOVERED, "log"), (ACTION, "log")):
        assert run("healthchecks", "alert", conf=conf, alerts=[ACTION, alert]) == (0, "")
        method, asked, _, body = server.only()
        assert (method, asked, body) == ("POST", f"/uuid/{path}", lines_of(ACTION, alert))
    conf = room.write("alert.conf", f"BELAY_HEALTHCHECKS_URL={server.url}/life\nBELAY_HEALTHCHECKS_ALERT_URL={server.url}/alerts\n")
    assert run("healthchecks", "alert", conf=conf, alerts=[STALL]) == (0, "")
    assert server.only()[1] == "/alerts/fail"
    assert run("healthchecks", "ping", conf=conf) == (0, "")
    assert server.only()[1] == "/life"
    assert run("healthchecks", conf=conf)[0] == 2


# --- mail ------------------------------------------------------------------------------------------------------------

@case("mail by SMTP holds all alerts, shortly and in full, and no line is too long")
def _(room):
    need("curl")
    server = Smtp()
    conf = room.write("alert.conf", f"BELAY_SMTP_URL={server.url}\nBELAY_MAIL_TO='ops@example.org b@example.org'\n"
                                    "BELAY_MAIL_FROM=belay@example.org\nBELAY_SMTP_USER='me:a\"b'\n")
    alerts = [dict(STALL, evidence=HOSTILE * 40), CRASH, DROPPED]
    assert run("mail", conf=conf, alerts=alerts) == (0, "")
    [(sender, recipients, text)] = server.mails
    mail = email.message_from_string(text)
    assert (sender, recipients) == ("belay@example.org", ["ops@example.org", "b@example.org"])
    assert server.users == [["me", 'a"b']], server.users
    assert mail["To"].split() == ["ops@example.org,", "b@example.org"] and mail["From"] == sender
    assert mail["Subject"] == f"Belay on {os.uname().nodename}: stall worker#3 (uid 1000), and 2 more", mail["Subject"]
    assert email.utils.parsedate_to_datetime(mail["Date"])
    short, _, full = mail.get_payload(decode=True).decode().partition("\n\n")
    assert short == "stall worker#3 (uid 1000)\ncrash web (uid 0)\ndropped 12", short
    assert [json.loads(line) for line in full.splitlines()] == alerts


@case("mail by sendmail goes to the addresses given as arguments")
def _(room):
    sendmail = room.write("sendmail", f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{room.path}/arguments\ncat >{room.path}/text\n", 0o755)
    conf = room.write("alert.conf", f"BELAY_SENDMAIL={sendmail}\nBELAY_MAIL_FROM=belay@example.org\nBELAY_MAIL_TO=no@example.org\n")
    assert run("mail", "a@example.org", "b@example.org", conf=conf, alerts=[RECOVERED]) == (0, "")
    assert read_file(room.file("arguments")).split() == ["-i", "-f", "belay@example.org", "--", "a@example.org", "b@example.org"]
    mail = email.message_from_string(read_file(room.file("text")))
    assert mail["Subject"].endswith(": recovered worker#3 (uid 1000)"), mail["Subject"]
    room.write("sendmail", "#!/bin/sh\ncat >/dev/null\nexit 75\n", 0o755)
    assert run("mail", "a@example.org", conf=conf, alerts=[STALL])[0] == 75


if __name__ == "__main__":
    main()
