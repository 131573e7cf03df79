/* Nonces of last words. Each has a prefix of its own, derived of a salt that the OS gave when the hook
 * was installed, the pid, the timestamp, the upper half of the real time and the generation of forks;
 * the lower half of the real time is its counter. Within a process no two have the same timestamp. A
 * forked child has the same salt and the same memory, but another generation than its parent, and
 * mostly another pid; a pid that is used a second time is used later. Where the clock of the timestamps
 * is moved, by a time namespace or in a machine that was copied while it ran, the real time differs. So
 * what is left are two children of one parent in two pid namespaces, with equal pids, that crash in the
 * same nanosecond; a real time that was set back, to the nanosecond, together with the other clock; and
 * two prefixes of 64 bits that are equal by chance. Nothing is read from the OS in the handler but
 * clocks and the pid. */

#include <belay/crash.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <belay/sealed.h>
#include <sodium.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "beat/connection.h"
#include "beat/fork_epoch.h"
#include "wire/seal.h"

/* In a page of its own, locked where the limit allows it and left out of the core that a crash may
 * leave. A forked child has it, too, and speaks for itself; its copy is not locked. */
struct last_words {
	struct belay__connection connection;
	uint8_t key[BELAY__KEY_LEN];
	uint8_t salt[BELAY__SALT_LEN];
};

/* The upper half of the real time, whose first byte changes every other year, with the generation in that
 * byte. */
static uint32_t era(uint64_t real_ns)
{
	return (uint32_t)(real_ns >> 32) ^ belay__fork_epoch() << 24;
}

static void send_sealed(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	const struct last_words *words = data;
	const uint64_t real_ns = belay__clock_ns(CLOCK_REALTIME);
	const uint32_t counter = (uint32_t)real_ns;
	uint8_t prefix[BELAY__PREFIX_LEN], bytes[BELAY__SEALED_LEN];

	if (!belay__connection_is_ours(&words->connection))
		return;
	belay__derive_panic_prefix(words->salt, pid, timestamp_ns, era(real_ns), prefix);
	belay__seal(words->key, prefix, counter, frame, bytes);
	/* Forked processes share the socket, and what was refused to one of them is told to the next that
	 * sends: then nothing left. The very same bytes go again, so that no nonce sees two frames. */
	if (send(words->connection.fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		errno == ECONNREFUSED)
		(void)send(words->connection.fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void put_away(void *data)
{
	struct last_words *words = data;

	belay__connection_close(&words->connection);
	explicit_bzero(words, sizeof(*words));
	(void)munmap(words, sizeof(*words));
}

/* No entropy, only what differs: SipHash of pid, thread, a sequence and clocks, under the 16 bytes that
 * the kernel gave the program when it was started. Addresses are left out: they would tell where things
 * lie. */
static void degraded_salt(uint8_t salt[static BELAY__SALT_LEN])
{
	static _Atomic uint64_t sequence;
	static const uint8_t no_key[crypto_shorthash_siphash24_KEYBYTES];
	const uint8_t *key = (const uint8_t *)getauxval(AT_RANDOM);
	uint64_t mixed[6] = {
		(uint64_t)getpid(),
		(uint64_t)gettid(),
		atomic_fetch_add(&sequence, 1),
		belay__clock_ns(CLOCK_MONOTONIC),
		belay__clock_ns(CLOCK_REALTIME),
	};

	for (size_t at = 0; at < BELAY__SALT_LEN; at += crypto_shorthash_siphash24_BYTES) {
		mixed[5] = at;
		(void)crypto_shorthash_siphash24(salt + at, (const uint8_t *)mixed, sizeof(mixed),
			key != NULL ? key : no_key);
	}
}

static int failed(struct belay_crash_report *ret_report, struct belay_error *reterr,
	enum belay_crash_step step, int code, const char *what)
{
	if (ret_report != NULL)
		*ret_report = (struct belay_crash_report){ .step = step };
	return belay__fail(reterr, code, "crash hook not installed, step %s: %s: %s",
		belay_crash_step_name(step), what, strerror(-code));
}

/* What the handler does, once, with what is thrown away: functions are bound by the dynamic linker at
 * their first call, and code and tables come into memory. */
static void rehearse(void)
{
	const uint8_t salt[BELAY__SALT_LEN] = { 0 }, key[BELAY__KEY_LEN] = { 0 };
	const uint8_t frame[BELAY_FRAME_LEN] = { 0 };
	uint8_t prefix[BELAY__PREFIX_LEN], bytes[BELAY__SEALED_LEN];
	int saved = errno;

	belay__derive_panic_prefix(salt, 0, 0, era(belay__clock_ns(CLOCK_REALTIME)), prefix);
	belay__seal(key, prefix, 0, frame, bytes);
	(void)send(-EBADF, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
	errno = saved;
}

/* The salt, and then libsodium's fastest code. That is chosen when libsodium starts, which without
 * entropy would be the end of the process; so a degraded hook stays with the code that needs none. */
static int begin(struct last_words *words, bool degraded)
{
	int r = belay__seal_salt(words->salt);

	if (r == 0)
		return belay__seal_init();
	if (!degraded)
		return r;
	degraded_salt(words->salt);
	return 0;
}

/* Salt and socket, in the order of their steps; each failure leaves WORDS with what it had. */
static int prepare(struct last_words *words, const union belay__address *address, bool degraded,
	enum belay_crash_step *ret_step)
{
	int r = begin(words, degraded);

	*ret_step = BELAY_CRASH_ENTROPY;
	if (r < 0)
		return r;
	rehearse();
	*ret_step = BELAY_CRASH_SOCKET;
	return belay__connection_open_to(&address->any, belay__address_len(address),
		&words->connection);
}

static int make(const struct belay_key *key, struct last_words **ret_words)
{
	struct last_words *words = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (words == MAP_FAILED)
		return -ENOMEM;
	(void)mlock(words, sizeof(*words));
	(void)madvise(words, sizeof(*words), MADV_DONTDUMP);
	words->connection = BELAY__NO_CONNECTION;
	memcpy(words->key, key->bytes, sizeof(words->key));
	*ret_words = words;
	return 0;
}

static int install(const char *address, const struct belay_key *key, bool degraded,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	struct belay_crash_transport transport = { .send = send_sealed, .close = put_away };
	enum belay_crash_step step = BELAY_CRASH_SOCKET;
	union belay__address parsed;
	struct last_words *words = NULL;
	int r;

	if (key == NULL)
		return failed(ret_report, reterr, BELAY_CRASH_OPTIONS, -EINVAL, "no key");
	if (address == NULL || belay__address_parse_peer(address, &parsed) < 0)
		return failed(ret_report, reterr, step, -EINVAL,
			address == NULL ? "no address" : address);
	r = belay__fork_epoch_init();
	if (r == 0 && !degraded && !belay__fork_epoch_is_sure())
		r = -ENOTSUP;
	if (r < 0)
		return failed(ret_report, reterr, step, r, "forks cannot be told apart");
	r = make(key, &words);
	if (r < 0)
		return failed(ret_report, reterr, step, r, "no memory for the key");

	r = prepare(words, &parsed, degraded, &step);
	if (r < 0) {
		r = failed(ret_report, reterr, step, r,
			step == BELAY_CRASH_ENTROPY ? "the system gives no salt" : address);
	} else {
		transport.data = words;
		r = belay_crash_install_with(&transport, options, ret_report, reterr);
	}
	if (r < 0)
		put_away(words);
	return r;
}

int belay_crash_install_sealed(const char *address, const struct belay_key *key,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	return install(address, key, /* degraded= */ false, options, ret_report, reterr);
}

int belay_crash_install_sealed_accept_degraded_entropy(const char *address,
	const struct belay_key *key, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr)
{
	return install(address, key, /* degraded= */ true, options, ret_report, reterr);
}
