/* What belay doctor asks the observer, and what it looks at around it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/doctor_checks.h"

/* Room for a few thousand events. */
#define DISK_WANTED (UINT64_C(16) << 20)

static int ask(struct belay__patient *patient, const char *socket, struct belay_error *reterr)
{
	static struct belay__ask ask;
	int r = belay__ask_open(&ask, socket,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);

	if (r < 0)
		return r;
	r = belay__ask_self(&ask, &patient->self, reterr);
	memcpy(patient->socket, ask.socket, sizeof(patient->socket));
	belay__ask_close(&ask);
	return r;
}

/* Reports the warnings that the observer itself has. */
static void repeat_warnings(const struct belay__patient *patient, struct belay__findings *findings)
{
	struct belay__json warnings, warning;
	char sentence[256];
	size_t cursor = 0;

	if (belay__json_member(&patient->self.object, "warnings", &warnings) < 0)
		return;
	while (belay__json_next(&warnings, &cursor, &warning) > 0)
		if (belay__json_get_string(&warning, sentence, sizeof(sentence)) >= 0)
			belay__found(findings, BELAY__LEVEL_WARN, "", "it warns: %s", sentence);
}

void belay__check_observer(struct belay__patient *patient, struct belay__findings *findings)
{
	struct belay_error error;
	char version[32];
	int r = ask(patient, patient->wanted, &error);

	if (r < 0) {
		belay__found(findings, BELAY__LEVEL_FAIL, "", "%s", error.text);
		return;
	}
	patient->there = true;
	patient->uid = belay__self_number(&patient->self, "uid", geteuid());
	(void)belay__self_string(&patient->self, "version", version, sizeof(version));
	if (strcmp(version, BELAY_VERSION) != 0)
		belay__found(findings, BELAY__LEVEL_WARN, "restart the observer after an upgrade",
			"the one at %s is release %s, this command %s", patient->socket, version,
			BELAY_VERSION);
	else
		belay__found(findings, BELAY__LEVEL_OK, "",
			"release %s answers at %s, pid %llu of uid %llu", version, patient->socket,
			(unsigned long long)belay__self_number(&patient->self, "pid", 0),
			(unsigned long long)patient->uid);
	repeat_warnings(patient, findings);
}

/* Looks at the directory PATH, in which a socket lies or would lie. */
static void check_directory(const struct belay__patient *patient, const char *path,
	struct belay__findings *findings)
{
	struct stat status;
	char advice[256];

	if (lstat(path, &status) < 0) {
		belay__found(findings, patient->there ? BELAY__LEVEL_FAIL : BELAY__LEVEL_OK,
			patient->there ? "restart the observer: its socket can no longer be reached"
				       : "",
			"%s: %s", path, errno == ENOENT ? "does not exist yet" : strerror(errno));
		return;
	}
	(void)snprintf(advice, sizeof(advice), "chmod 0700 %.200s", path);
	if (!S_ISDIR(status.st_mode))
		belay__found(findings, BELAY__LEVEL_FAIL,
			"put the socket into a directory that only its user can write",
			"%s is no directory, but perhaps a link", path);
	else if ((status.st_mode & 022) != 0)
		belay__found(findings, BELAY__LEVEL_FAIL, advice,
			"%s has mode %04o: others can put a socket of their own there", path,
			status.st_mode & 07777);
	else if (status.st_uid != geteuid() && status.st_uid != 0 && status.st_uid != patient->uid)
		belay__found(findings, BELAY__LEVEL_FAIL, "use a directory of your own, or of root",
			"%s belongs to uid %u", path, status.st_uid);
	else
		belay__found(findings, BELAY__LEVEL_OK, "", "%s has mode %04o and belongs to uid %u",
			path, status.st_mode & 07777, status.st_uid);
}

void belay__check_directory(struct belay__patient *patient, struct belay__findings *findings)
{
	struct belay__socket_candidates candidates = { .count = 1 };

	if (patient->there)
		memcpy(candidates.path[0], patient->socket, sizeof(patient->socket));
	else if (patient->wanted[0] != '\0')
		memcpy(candidates.path[0], patient->wanted, sizeof(patient->wanted));
	else
		belay__socket_candidates(&candidates);

	if (candidates.count == 0)
		belay__found(findings, BELAY__LEVEL_FAIL,
			"set BELAY_SOCKET to a short absolute path, or unset it",
			"BELAY_SOCKET is relative or too long");
	for (size_t i = 0; i < candidates.count; i++) {
		char *slash = strrchr(candidates.path[i], '/');

		if (slash != NULL)
			*slash = '\0';
		check_directory(patient, slash == NULL ? "." : candidates.path[i], findings);
	}
}

static void check_role(const struct belay__json *role, size_t *bad, struct belay__findings *findings)
{
	struct belay__json value;
	char name[32] = "?";
	uint64_t pid = 0, restarts = 0;

	if (belay__json_member(role, "name", &value) == 0)
		(void)belay__json_get_string(&value, name, sizeof(name));
	if (belay__json_member(role, "pid", &value) == 0)
		(void)belay__json_get_u64(&value, &pid);
	if (belay__json_member(role, "restarts", &value) == 0)
		(void)belay__json_get_u64(&value, &restarts);
	if (pid == 0)
		belay__found(findings, BELAY__LEVEL_FAIL,
			"its log says why: belay events, or the journal", "the %s does not run",
			name);
	else if (restarts > 0)
		belay__found(findings, BELAY__LEVEL_WARN,
			"its log says why: belay events, or the journal",
			"the %s (pid %llu) was restarted %llu times", name, (unsigned long long)pid,
			(unsigned long long)restarts);
	*bad += pid == 0 || restarts > 0;
}

void belay__check_roles(struct belay__patient *patient, struct belay__findings *findings)
{
	struct belay__json roles, role;
	size_t cursor = 0, count = 0, bad = 0;
	uint64_t dropped;

	if (!patient->there || belay__json_member(&patient->self.object, "roles", &roles) < 0) {
		belay__found(findings, BELAY__LEVEL_OK, "", "none are told");
		return;
	}
	for (; belay__json_next(&roles, &cursor, &role) > 0; count++)
		check_role(&role, &bad, findings);
	if (bad == 0)
		belay__found(findings, BELAY__LEVEL_OK, "",
			"all %zu run and none had to be restarted", count);
	dropped = belay__self_number(&patient->self, "log_dropped", 0);
	if (dropped > 0)
		belay__found(findings, BELAY__LEVEL_WARN,
			"look at what reads the observer's standard error",
			"%llu lines of its log could not be written", (unsigned long long)dropped);
}

void belay__check_queue(struct belay__patient *patient, struct belay__findings *findings)
{
	char buffer[32] = "";
	uint64_t frames, tracked;

	if (!patient->there) {
		(void)belay__read_file(AT_FDCWD, "/proc/sys/net/unix/max_dgram_qlen", buffer,
			sizeof(buffer));
		buffer[strcspn(buffer, "\n")] = '\0';
		belay__found(findings, BELAY__LEVEL_OK, "",
			"a new socket holds net.unix.max_dgram_qlen+1 beats; that is %s now",
			buffer);
		return;
	}
	frames = belay__self_number(&patient->self, "queue_frames", 0);
	tracked = belay__self_number(&patient->self, "queue_wanted",
		belay__self_number(&patient->self, "tracked", 0));
	if (frames > 0 && frames < tracked)
		belay__found(findings, BELAY__LEVEL_WARN,
			"restart it as root with --dgram-qlen 512, or set sysctl "
			"net.unix.max_dgram_qlen=512 before its start",
			"the socket holds %llu beats, but %llu processes beat: when all do at "
			"once, some are lost",
			(unsigned long long)frames, (unsigned long long)tracked);
	else
		belay__found(findings, BELAY__LEVEL_OK, "",
			"the socket holds %llu beats, %llu processes beat",
			(unsigned long long)frames, (unsigned long long)tracked);
}

void belay__check_state(struct belay__patient *patient, struct belay__findings *findings)
{
	char path[256] = "/run";
	_cleanup_close_ int fd = -EBADF;

	if (patient->there &&
		(!belay__self_string(&patient->self, "state_file", path, sizeof(path)) ||
			path[0] == '\0')) {
		belay__found(findings, BELAY__LEVEL_WARN,
			"give it a place on a tmpfs: belay observe --state PATH",
			"there is no state file: a restarted observer knows nobody");
		return;
	}
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		belay__found(findings, errno == EACCES ? BELAY__LEVEL_OK : BELAY__LEVEL_WARN,
			errno == EACCES ? ""
					: "restart the observer, or see what removes files there",
			"%s: %s", path, strerror(errno));
	else if (!belay__on_tmpfs(fd))
		belay__found(findings, BELAY__LEVEL_WARN,
			"give it a place on a tmpfs: belay observe --state PATH",
			"%s is not on a memory file system", path);
	else
		belay__found(findings, BELAY__LEVEL_OK, "", "%s is on a memory file system", path);
}

void belay__check_events(struct belay__patient *patient, struct belay__findings *findings)
{
	struct statvfs disk;
	uint64_t lost;
	char path[512];

	if (!patient->there) {
		belay__found(findings, BELAY__LEVEL_OK, "",
			"none are written while there is no observer");
		return;
	}
	if (!belay__self_string(&patient->self, "events_file", path, sizeof(path)) ||
		path[0] == '\0') {
		belay__found(findings, BELAY__LEVEL_WARN, "name a file: belay observe --events PATH",
			"events are not kept: belay events shows nothing of the past");
		return;
	}
	lost = belay__self_number(&patient->self, "events_lost", 0);
	if (lost > 0)
		belay__found(findings, BELAY__LEVEL_WARN, "make room on that disk",
			"%llu events could not be written to %s", (unsigned long long)lost, path);
	if (patient->uid == geteuid() && access(path, W_OK) < 0)
		belay__found(findings, BELAY__LEVEL_FAIL,
			"see who removed or locked the file; SIGHUP opens it anew",
			"%s cannot be written: %s", path, strerror(errno));
	else if (statvfs(path, &disk) == 0 && disk.f_bavail * disk.f_frsize < DISK_WANTED)
		belay__found(findings, BELAY__LEVEL_WARN, "make room on that disk",
			"%s: the disk has %llu KiB left", path,
			(unsigned long long)(disk.f_bavail * disk.f_frsize >> 10));
	else
		belay__found(findings, BELAY__LEVEL_OK, "", "kept in %s", path);
}

void belay__check_network(struct belay__patient *patient, struct belay__findings *findings)
{
	char text[BELAY__ADDRESS_SIZE] = "";
	union belay__address address;
	struct belay__json udp, value;
	uint64_t keys = 0;
	bool vouched = false;

	if (!patient->there || belay__json_member(&patient->self.object, "udp", &udp) < 0 ||
		belay__json_member(&udp, "address", &value) < 0 ||
		belay__json_get_string(&value, text, sizeof(text)) < 0) {
		belay__found(findings, BELAY__LEVEL_OK, "", "no beats of other hosts are received");
		return;
	}
	if (belay__json_member(&udp, "keys", &value) == 0)
		(void)belay__json_get_u64(&value, &keys);
	if (belay__json_member(&udp, "vouched", &value) == 0)
		(void)belay__json_get_bool(&value, &vouched);
	if (keys > 0)
		belay__found(findings, BELAY__LEVEL_OK, "", "sealed beats at %s, %llu key%s", text,
			(unsigned long long)keys, keys == 1 ? "" : "s");
	else if (belay__address_parse(text, &address) == 0 && belay__address_is_loopback(&address))
		belay__found(findings, BELAY__LEVEL_WARN, "belay key new FILE, and --key-file FILE",
			"every user of this host can forge beats at %s", text);
	else
		belay__found(findings, BELAY__LEVEL_WARN, "belay key new FILE, and --key-file FILE",
			"anybody who reaches %s can forge beats there", text);
	if (keys == 0 && vouched)
		belay__found(findings, BELAY__LEVEL_WARN,
			"leave out --plaintext-udp-i-accept-recovery-on-unauthenticated-transport",
			"forged beats at %s can lead to commands", text);
}
