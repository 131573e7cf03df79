#include "identity/sidecar.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/file.h"
#include "identity/test_child.h"

#define NUMBERS(n) n ", " n ", " n ", " n ", " n ", " n ", " n ", " n
#define HASH_OF(n) "[" NUMBERS(n) ", " NUMBERS(n) ", " NUMBERS(n) ", " NUMBERS(n) "]"
#define ENDPOINT   "\"ipc_endpoint\": {\"namespace_id\": \"shared\", \"path\": \"/run/d.sock\"}"
#define REST       "\"boot_id\": \"b\", " ENDPOINT
#define START      "{\"pid\": 7, \"exe_path\": \"/bin/d\", "
#define BLAKE3     "\"exe_hash_algorithm\": \"blake3\", \"exe_hash\": " HASH_OF("3")
#define SHA256     "\"legacy_exe_sha256\": " HASH_OF("9")

static bool directories_fail, files_fail;

int __wrap_fsync(int fd);
int __real_fsync(int fd);

int __wrap_fsync(int fd)
{
	struct stat stat;

	assert_return_code(fstat(fd, &stat), errno);
	if (directories_fail && S_ISDIR(stat.st_mode)) {
		errno = EIO;
		return -1;
	}
	if (files_fail && S_ISREG(stat.st_mode)) {
		errno = ENOSPC;
		return -1;
	}
	return __real_fsync(fd);
}

static char directory[] = "/tmp/belay-sidecar-XXXXXX";
static char path[64], other_path[64];

static struct belay_daemon full(void)
{
	struct belay_daemon daemon = {
		.pid = 4242,
		.has_blake3 = true,
		.has_sha256 = true,
		.has_idle_timeout = true,
		.idle_timeout_s = 30,
		.started_at_ms = 1700000000000,
		.start_ticks = UINT64_MAX,
		.boot_id = "2e8094b1-f37d-4095-9de6-919e5cadd4ae",
		.endpoint = { "private:app", "/run/user/1000/a \"b\"\n/d.sock" },
		.exe_path = "/opt/\xC3\xA4/bin/d\\d {[,:]}",
	};

	memset(daemon.blake3, 3, sizeof(daemon.blake3));
	for (size_t i = 0; i < BELAY_HASH_LEN; i++)
		daemon.sha256[i] = (uint8_t)(250 + i);
	return daemon;
}

static int make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/daemon-app.json", directory);
	(void)snprintf(other_path, sizeof(other_path), "%s/other", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static int before(void **state)
{
	static int count;

	count = belay__fd_count();
	*state = &count;
	return 0;
}

/* How many names the directory has. */
static unsigned names_left(void)
{
	DIR *dir = opendir(directory);
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count - 2;
}

static int after(void **state)
{
	(void)unlink(path);
	(void)unlink(other_path);
	return belay__fd_count() == *(const int *)*state && names_left() == 0 ? 0 : -1;
}

static void put(const char *bytes, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_return_code(fd, errno);
	assert_int_equal(belay__write_all(fd, bytes, strlen(bytes)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void assert_same(const struct belay_daemon *a, const struct belay_daemon *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->has_blake3, b->has_blake3);
	assert_int_equal(a->has_sha256, b->has_sha256);
	assert_memory_equal(a->blake3, b->blake3, BELAY_HASH_LEN);
	assert_memory_equal(a->sha256, b->sha256, BELAY_HASH_LEN);
	assert_int_equal(a->has_idle_timeout, b->has_idle_timeout);
	assert_int_equal(a->idle_timeout_s, b->idle_timeout_s);
	assert_int_equal(a->started_at_ms, b->started_at_ms);
	assert_int_equal(a->start_ticks, b->start_ticks);
	assert_string_equal(a->boot_id, b->boot_id);
	assert_string_equal(a->exe_path, b->exe_path);
	assert_true(belay_endpoint_equal(&a->endpoint, &b->endpoint));
}

static void what_was_written_is_read(void **state)
{
	static struct belay_daemon written, read;
	struct stat stat_;
	mode_t mask = umask(0);
	(void)state;

	written = full();
	assert_int_equal(belay_sidecar_write(path, &written, NULL), 0);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode, S_IFREG | 0600);
	assert_int_equal(belay_sidecar_read(path, &read, NULL), 0);
	assert_same(&written, &read);
	assert_int_equal(names_left(), 1);

	(void)umask(0777); /* the mask takes nothing away, either */
	written = (struct belay_daemon){ .pid = UINT32_MAX, .has_sha256 = true, .sha256 = { 1 } };
	assert_int_equal(belay_sidecar_write(path, &written, NULL), 0);
	assert_int_equal(belay_sidecar_read(path, &read, NULL), 0);
	assert_same(&written, &read);
	(void)umask(mask);
	written.has_sha256 = false;
	written.has_blake3 = true;
	memset(written.sha256, 0, sizeof(written.sha256));
	assert_int_equal(belay_sidecar_write(path, &written, NULL), 0);
	assert_int_equal(belay_sidecar_read(path, &read, NULL), 0);
	assert_same(&written, &read);
}

static void the_longest_record_is_read_back(void **state)
{
	static struct belay_daemon written, read;
	(void)state;

	written = full();
	memset(written.exe_path, '\x01', sizeof(written.exe_path) - 1);
	memset(written.boot_id, '"', sizeof(written.boot_id) - 1);
	memset(written.endpoint.path, '\n', sizeof(written.endpoint.path) - 1);
	memset(written.endpoint.namespace_id, '\\', sizeof(written.endpoint.namespace_id) - 1);
	assert_int_equal(belay_sidecar_write(path, &written, NULL), 0);
	assert_int_equal(belay_sidecar_read(path, &read, NULL), 0);
	assert_same(&written, &read);
}

static void a_record_reads_like_this(void **state)
{
	static char chars[4096];
	static struct belay_daemon daemon;
	struct belay__text text;
	(void)state;

	daemon = full();
	memset(daemon.sha256, 9, sizeof(daemon.sha256));
	(void)strcpy(daemon.exe_path, "/bin/d");
	(void)strcpy(daemon.endpoint.path, "/run/d.sock");
	(void)strcpy(daemon.boot_id, "b");
	belay__text_init(&text, chars, sizeof(chars));
	assert_int_equal(belay__sidecar_print(&daemon, &text, NULL), 0);
	assert_string_equal(chars,
		"{\n"
		"  \"pid\": 4242,\n"
		"  \"exe_path\": \"/bin/d\",\n"
		"  \"exe_hash_algorithm\": \"blake3\",\n"
		"  \"exe_hash\": " HASH_OF(
			"3") ",\n"
			     "  \"legacy_exe_sha256\": " HASH_OF(
				     "9") ",\n"
					  "  \"boot_id\": \"b\",\n"
					  "  \"ipc_endpoint\": {\n"
					  "    \"namespace_id\": \"private:app\",\n"
					  "    \"path\": \"/run/d.sock\"\n"
					  "  },\n"
					  "  \"started_at_unix_ms\": 1700000000000,\n"
					  "  \"idle_timeout_secs\": 30,\n"
					  "  \"start_ticks\": 18446744073709551615\n"
					  "}\n");
	daemon.has_idle_timeout = false;
	daemon.start_ticks = 0;
	belay__text_init(&text, chars, sizeof(chars));
	assert_int_equal(belay__sidecar_print(&daemon, &text, NULL), 0);
	assert_non_null(strstr(chars, "\"idle_timeout_secs\": null\n}\n"));
}

static void what_cannot_be_said_is_not_written(void **state)
{
	static struct belay_daemon daemon;
	struct belay_error error = { 0 };
	(void)state;

	put("old", 0600);
	daemon = full();
	(void)strcpy(daemon.exe_path, "/bin/\xFF");
	assert_int_equal(belay_sidecar_write(path, &daemon, &error), -EINVAL);
	assert_non_null(strstr(error.text, "exe_path is no UTF-8 from byte 5 on"));
	daemon = full();
	daemon.has_blake3 = daemon.has_sha256 = false;
	assert_int_equal(belay_sidecar_write(path, &daemon, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no hash"));
	assert_int_equal(names_left(), 1);
}

static const struct {
	const char *text, *says; /* NULL: it is accepted */
	bool blake3, sha256;
} texts[] = {
	{ START BLAKE3 ", " SHA256 ", " REST "}", NULL, true, true },
	{ START BLAKE3 ", " REST "}", NULL, true, false },
	{ START SHA256 ", " REST "}", NULL, false, true },
	/* of releases up to 4.10.2 */
	{ START "\"exe_sha256\": " HASH_OF("9") ", " REST "}", NULL, false, true },
	/* zeros say that there is none */
	{ START BLAKE3 ", \"legacy_exe_sha256\": " HASH_OF("0") ", " REST "}", NULL, true, false },
	{ START "\"legacy_exe_sha256\": " HASH_OF("0") ", " REST "}", "no hash", false, false },
	{ START REST "}", "no hash", false, false },
	/* unknown members, one of them with a key longer than any of ours */
	{ START BLAKE3 ", \"a\": {\"pid\": [{}, null]}, \"Pid\": true, "
		       "\"a_key_that_is_longer_than_any_of_ours\": 1, \"b\\u0000\": 2, " REST "}",
		NULL, true, false },
	{ "{\"pid\":7,\"exe_path\":\"/bin/d\"," BLAKE3 "," REST "}", NULL, true, false },
	{ "", "no JSON from byte 0 on", false, false },
	{ "[1]", "no JSON object", false, false },
	{ "7", "no JSON object", false, false },
	{ START BLAKE3 ", " REST "} x", "no JSON", false, false },
	{ "{\"exe_path\": \"/bin/d\", " BLAKE3 ", " REST "}", "member pid is missing", false,
		false },
	{ "{\"pid\": 7, " BLAKE3 ", " REST "}", "member exe_path is missing", false, false },
	{ START BLAKE3 ", " ENDPOINT "}", "member boot_id is missing", false, false },
	{ START BLAKE3 ", \"boot_id\": \"b\"}", "member ipc_endpoint is missing", false, false },
	{ START "\"pid\": 7, " BLAKE3 ", " REST "}", "pid is there twice", false, false },
	{ "{\"pid\": 4294967296, \"exe_path\": \"/bin/d\", " BLAKE3 ", " REST "}",
		"pid is not a number from 0 to 4294967295", false, false },
	{ "{\"pid\": -1, \"exe_path\": \"/bin/d\", " BLAKE3 ", " REST "}", "pid is not a number",
		false, false },
	{ "{\"pid\": \"7\", \"exe_path\": \"/bin/d\", " BLAKE3 ", " REST "}", "pid is not a number",
		false, false },
	{ "{\"pid\": 7, \"exe_path\": null, " BLAKE3 ", " REST "}", "exe_path is not a text", false,
		false },
	{ "{\"pid\": 7, \"exe_path\": \"a\\u0000b\", " BLAKE3 ", " REST "}",
		"exe_path is not a text", false, false },
	{ START "\"exe_hash_algorithm\": \"sha256\", \"exe_hash\": " HASH_OF("3") ", " REST "}",
		"exe_hash_algorithm is not \"blake3\"", false, false },
	{ START "\"exe_hash_algorithm\": \"blake\", \"exe_hash\": " HASH_OF("3") ", " REST "}",
		"exe_hash_algorithm is not \"blake3\"", false, false },
	{ START "\"exe_hash\": " HASH_OF("3") ", " REST "}", "exe_hash_algorithm", false, false },
	/* as on the wire: what is no hash that we know counts as none */
	{ START "\"exe_hash_algorithm\": \"sha512\", \"exe_hash\": " HASH_OF("3") ", " SHA256
										  ", " REST "}",
		NULL, false, true },
	{ START "\"exe_hash_algorithm\": \"an algorithm that is to come\", \"exe_hash\": "
		"[1], " SHA256 ", " REST "}",
		NULL, false, true },
	{ START "\"exe_hash\": " HASH_OF("3") ", " SHA256 ", " REST "}", NULL, false, true },
	{ START "\"exe_hash_algorithm\": \"\", \"exe_hash\": [], " SHA256 ", " REST "}", NULL,
		false, true },
	{ START "\"exe_hash_algorithm\": \"blake3\", \"exe_hash\": [3, 3], " SHA256 ", " REST "}",
		NULL, false, true },
	{ START BLAKE3 ", \"legacy_exe_sha256\": [], " REST "}", NULL, true, false },
	{ START "\"exe_hash_algorithm\": null, " SHA256 ", " REST "}",
		"exe_hash_algorithm is not a text", false, false },
	{ START "\"exe_hash_algorithm\": \"blake3\", \"exe_hash\": [3], " REST "}",
		"exe_hash is not an array of 32 bytes", false, false },
	{ START "\"exe_hash_algorithm\": \"blake3\", \"exe_hash\": [" NUMBERS("3") "," NUMBERS(
		  "3") "," NUMBERS("3") "," NUMBERS("3") ",3], " REST "}",
		"exe_hash is not an array of 32 bytes", false, false },
	{ START "\"legacy_exe_sha256\": " HASH_OF("256") ", " REST "}",
		"legacy_exe_sha256 is not an array of", false, false },
	{ START "\"legacy_exe_sha256\": " HASH_OF("1.5") ", " REST "}",
		"legacy_exe_sha256 is not an array of", false, false },
	{ START "\"legacy_exe_sha256\": \"ab\", " REST "}", "legacy_exe_sha256 is not an array",
		false, false },
	{ START BLAKE3 ", \"boot_id\": 5, " ENDPOINT "}", "boot_id is not a text", false, false },
	{ START BLAKE3 ", \"boot_id\": \"b\", \"ipc_endpoint\": []}",
		"ipc_endpoint is not an object", false, false },
	{ START BLAKE3 ", \"boot_id\": \"b\", \"ipc_endpoint\": {\"path\": \"/x\"}}",
		"ipc_endpoint is not an object", false, false },
	{ START BLAKE3 ", " REST ", \"idle_timeout_secs\": -1}", "idle_timeout_secs is not null",
		false, false },
	{ START BLAKE3 ", " REST ", \"idle_timeout_secs\": null, \"started_at_unix_ms\": 5}", NULL,
		true, false },
	{ START BLAKE3 ", " REST ", \"started_at_unix_ms\": \"5\"}",
		"started_at_unix_ms is not a number", false, false },
	{ START BLAKE3 ", " REST ", \"start_ticks\": 1.5}", "start_ticks is not a number", false,
		false },
};

static void every_text_is_accepted_or_refused_with_a_reason(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		static struct belay_daemon daemon;
		struct belay_error error = { 0 };
		int r;

		daemon = (struct belay_daemon){ .pid = 77 };
		put(texts[i].text, 0600);
		r = belay_sidecar_read(path, &daemon, &error);
		assert_int_equal(r, texts[i].says == NULL ? 0 : -EINVAL);
		if (r < 0) {
			assert_non_null(strstr(error.text, texts[i].says));
			assert_non_null(strstr(error.text, path));
			assert_int_equal(daemon.pid, 77);
			continue;
		}
		assert_int_equal(daemon.pid, 7);
		assert_string_equal(daemon.endpoint.path, "/run/d.sock");
		assert_int_equal(daemon.has_blake3, texts[i].blake3);
		assert_int_equal(daemon.has_sha256, texts[i].sha256);
		assert_int_equal(daemon.blake3[31], texts[i].blake3 ? 3 : 0);
		assert_int_equal(daemon.sha256[31], texts[i].sha256 ? 9 : 0);
	}
}

/* The file has its name by then. */
static void a_directory_that_cannot_be_synced_is_told_as_such(void **state)
{
	struct belay_daemon daemon = full();
	static struct belay_daemon now;
	struct belay_error error = { 0 };
	(void)state;

	assert_int_equal(belay_sidecar_write(path, &daemon, NULL), 0);
	daemon.pid = 4343;
	directories_fail = true;
	assert_int_equal(belay_sidecar_write(path, &daemon, &error), -EIO);
	directories_fail = false;
	assert_null(strstr(error.text, "still there"));
	assert_non_null(strstr(error.text, "was written, but may not survive a crash"));
	assert_int_equal(belay_sidecar_read(path, &now, NULL), 0);
	assert_int_equal(now.pid, 4343);
	assert_int_equal(names_left(), 1);
}

static void a_failure_says_what_is_left(void **state)
{
	const char *const left[] = { "what was there is still there", "nothing was there" };
	struct belay_daemon daemon = full();
	static struct belay_daemon now;
	(void)state;

	assert_int_equal(belay_sidecar_write(path, &daemon, NULL), 0);
	daemon.pid = 4343;
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		struct belay_error error = { 0 };

		files_fail = true;
		assert_int_equal(belay_sidecar_write(path, &daemon, &error), -ENOSPC);
		files_fail = false;
		assert_non_null(strstr(error.text, left[i]));
		assert_null(strstr(error.text, left[1 - i]));
		assert_int_equal(belay_sidecar_read(path, &now, NULL), i == 0 ? 0 : -ENOENT);
		assert_int_equal(names_left(), 1 - i);
		(void)unlink(path);
	}
}

static void no_beginning_of_a_record_is_one(void **state)
{
	static const char text[] = START BLAKE3 ", " SHA256 ", " REST "}";
	static struct belay_daemon daemon;
	unsigned seed = 20261121;
	(void)state;

	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		char *cut = malloc(len + 1); /* a sanitizer sees who looks past its end */

		assert_non_null(cut);
		memcpy(cut, text, len);
		assert_int_equal(belay__sidecar_parse(cut, len, &daemon, NULL), -EINVAL);
		free(cut);
	}
	for (int round = 0; round < 20000; round++) {
		char mutant[sizeof(text)];

		memcpy(mutant, text, sizeof(text));
		for (int k = rand_r(&seed) % 3; k >= 0; k--)
			mutant[(size_t)rand_r(&seed) % (sizeof(text) - 1)] = (char)rand_r(&seed);
		if (belay__sidecar_parse(mutant, sizeof(text) - 1, &daemon, NULL) == 0)
			assert_true(daemon.has_blake3 || daemon.has_sha256);
	}
}

static void files_that_others_may_write_are_not_believed(void **state)
{
	static const char text[] = START BLAKE3 ", " REST "}";
	static struct belay_daemon daemon;
	static char large[70 * 1024];
	(void)state;

	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -ENOENT);
	put(text, 0644);
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), 0);
	put(text, 0620);
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -EPERM);
	put(text, 0602);
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -EPERM);
	put(text, 0600);
	assert_int_equal(symlink(path, other_path), 0);
	assert_int_equal(belay_sidecar_read(other_path, &daemon, NULL), -ELOOP);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -EPERM);
		assert_int_equal(chown(path, 0, 0), 0);
	}
	memset(large, ' ', sizeof(large) - 1);
	memcpy(large, text, sizeof(text) - 1);
	large[BELAY__SIDECAR_MAX] = '\0';
	put(large, 0600);
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), 0);
	large[BELAY__SIDECAR_MAX] = ' ';
	put(large, 0600);
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* nobody hangs there */
	assert_int_equal(belay_sidecar_read(path, &daemon, NULL), -EINVAL);
	assert_int_equal(belay_sidecar_read(directory, &daemon, NULL), -EINVAL);
}

static void a_link_in_the_way_is_replaced_and_not_followed(void **state)
{
	static struct belay_daemon daemon;
	struct stat stat_;
	(void)state;

	daemon = full();
	assert_int_equal(symlink(other_path, path), 0);
	assert_int_equal(belay_sidecar_write(path, &daemon, NULL), 0);
	assert_int_equal(access(other_path, F_OK), -1);
	assert_int_equal(lstat(path, &stat_), 0);
	assert_true(S_ISREG(stat_.st_mode));
}

static void a_failure_leaves_the_old_record(void **state)
{
	static struct belay_daemon old, new, read;
	struct belay_error error = { 0 };
	struct rlimit limit, small;
	int r;
	(void)state;

	old = new = full();
	new.pid = 5;
	assert_int_equal(belay_sidecar_write(path, &old, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 100;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = belay_sidecar_write(path, &new, &error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(belay_sidecar_read(path, &read, NULL), 0);
	assert_int_equal(read.pid, old.pid);
	assert_int_equal(names_left(), 1);

	assert_int_equal(belay_sidecar_write("/tmp/belay-nowhere/x.json", &new, NULL), -ENOENT);
	assert_int_equal(belay_sidecar_write(directory, &new, NULL), -EISDIR);
	assert_true(belay_sidecar_write("", &new, NULL) < 0);
	assert_true(belay_sidecar_write("/", &new, NULL) < 0);
}

static void a_bare_name_is_of_the_working_directory(void **state)
{
	static struct belay_daemon daemon;
	_cleanup_close_ int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)state;

	daemon = full();
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(belay_sidecar_write("daemon-app.json", &daemon, NULL), 0);
	assert_int_equal(belay_sidecar_read("daemon-app.json", &daemon, NULL), 0);
	assert_int_equal(fchdir(here), 0);
	assert_int_equal(access(path, R_OK), 0);
}

/* Writes records that differ in length until it is killed. */
static int body_writes(void *argument)
{
	static struct belay_daemon daemon;
	(void)argument;

	daemon = full();
	for (uint32_t i = 1;; i++) {
		daemon.pid = i;
		memset(daemon.exe_path, 0, sizeof(daemon.exe_path));
		memset(daemon.exe_path, 'x', i % 4000 + 1);
		if (belay_sidecar_write(path, &daemon, NULL) < 0)
			return 1;
	}
}

static void readers_of_a_killed_writer_see_whole_records(void **state)
{
	static struct belay_daemon daemon;
	(void)state;

	daemon = full();
	assert_int_equal(belay_sidecar_write(path, &daemon, NULL), 0);
	for (unsigned round = 0; round < 30; round++) {
		struct child writer = child_start(body_writes, NULL);

		for (unsigned reads = 0; reads < 1 + round * 7; reads++) {
			assert_int_equal(belay_sidecar_read(path, &daemon, NULL), 0);
			if (strcmp(daemon.boot_id, "") == 0 || daemon.pid == 4242)
				continue;
			assert_int_equal(strlen(daemon.exe_path), daemon.pid % 4000 + 1);
		}
		child_signal(&writer, SIGKILL);
		assert_true(WIFSIGNALED(child_reap(&writer)));
		assert_int_equal(belay_sidecar_read(path, &daemon, NULL), 0);
	}
}

/* Between naming a file and renaming it a writer may be killed: then its name stays. */
static int remove_leftovers(void **state)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, ".belay-", 7) == 0)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	(void)closedir(dir);
	return after(state);
}

#undef TEST
#define TEST(function) cmocka_unit_test_setup_teardown(function, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read),
		TEST(the_longest_record_is_read_back),
		TEST(a_record_reads_like_this),
		TEST(what_cannot_be_said_is_not_written),
		TEST(every_text_is_accepted_or_refused_with_a_reason),
		TEST(a_directory_that_cannot_be_synced_is_told_as_such),
		TEST(a_failure_says_what_is_left),
		TEST(no_beginning_of_a_record_is_one),
		TEST(files_that_others_may_write_are_not_believed),
		TEST(a_link_in_the_way_is_replaced_and_not_followed),
		TEST(a_failure_leaves_the_old_record),
		TEST(a_bare_name_is_of_the_working_directory),
		cmocka_unit_test_setup_teardown(readers_of_a_killed_writer_see_whole_records,
			before, remove_leftovers),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
