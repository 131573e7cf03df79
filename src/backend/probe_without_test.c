/* Kernels that lack what is used first, and systems that refuse what is needed. */

#include "backend/probe_daemons_testing.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "identity/exe_hash.h"

/* What is refused: a system call, where ARGUMENT (-1: whatever it is) is VALUE. */
struct refusal {
	long call;
	int argument;
	uint32_t value;
	uint32_t error;
	const struct belay_daemon *expected;
	const struct place *place;
};

static void refuse(const struct refusal *refusal)
{
	const uint32_t argument = (uint32_t)offsetof(struct seccomp_data, args) +
		8U * (uint32_t)(refusal->argument < 0 ? 0 : refusal->argument);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refusal->call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal->value, 0,
			(uint8_t)(refusal->argument < 0 ? 0 : 1)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | refusal->error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

static bool is_warm(const struct belay_hashes *hashes)
{
	struct belay__exe_hash hash;
	struct stat exe;

	assert_return_code(stat("/proc/self/exe", &exe), errno);
	return belay__hashes_find(hashes, &exe, BELAY__HASH_BLAKE3, &hash);
}

static int body_probes(void *argument)
{
	const struct refusal *refusal = argument;
	struct belay_probe_report report;
	int r;

	refuse(refusal);
	r = probe(refusal->place, refusal->expected, &report, NULL);
	if ((r == 0) != (report.error == BELAY_PROBED))
		return 99;
	return (int)report.error;
}

/* Probes the child that runs BODY (NULL: this process, which nobody needs to ask) under REFUSAL. */
static void check(struct place *place, int (*body)(void *), struct refusal refusal,
	enum belay_probe_error error)
{
	struct daemon daemon = { .place = place, .go = -EBADF };
	const struct belay_daemon *record = &place->self;
	struct child child, prober;
	int status;

	if (body != NULL) {
		child = child_start(body, &daemon);
		record = record_of(place, &child);
	}
	refusal.place = place;
	refusal.expected = record;
	prober = child_start(body_probes, &refusal);
	status = child_reap(&prober);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), error);
	if (body != NULL)
		reap_well(&child);
}

static void without_random_bytes_nothing_is_sent(void **state)
{
	struct refusal refusal = { .call = SYS_getrandom, .argument = -1, .error = EAGAIN };

	check(*state, NULL, refusal, BELAY_PROBE_RANDOM);
}

/* Over is over: -EAGAIN would be "not yet", for ever. */
static int body_asks_by_steps(void *argument)
{
	const struct refusal *refusal = argument;
	struct belay_prober *prober;
	struct belay_probe_report report;

	refuse(refusal);
	prober = ask(refusal->place);
	for (int turns = 0; turns < 3; turns++)
		if (belay_probe_next(prober, NULL, &report, NULL) != -ENODATA ||
			report.error != BELAY_PROBE_RANDOM)
			return 1;
	return 0;
}

static void without_random_bytes_it_is_over(void **state)
{
	struct place *place = *state;
	struct refusal refusal = { .call = SYS_getrandom,
		.argument = -1,
		.error = EAGAIN,
		.place = place };
	struct child child = child_start(body_asks_by_steps, &refusal);

	reap_well(&child);
}

static unsigned threads_now(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(tasks);
	for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(tasks);
	return count;
}

/* A frame of which every byte comes with a descriptor, as long as somebody takes it. */
static int body_sends_strays(void *argument)
{
	const struct daemon *daemon = argument;
	int connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);
	struct belay_probe_request request;
	struct pollfd hung_up = { .fd = connection, .events = POLLRDHUP };

	read_request(connection, &request);
	for (unsigned i = 0; i < 500; i++) {
		uint8_t byte = i == 0 ? 1 : i < 4 ? 2 : 0;

		if (!send_with_descriptor(connection, &byte, 1))
			return errno == EPIPE || errno == ECONNRESET ? 0 : 2;
	}
	return poll(&hung_up, 1, TEST_PLENTY_MS) == 1 ? 0 : 3;
}

static int body_takes_strays(void *argument)
{
	const struct refusal *refusal = argument;
	struct belay_probe_report report;

	refuse(refusal);
	if (probe(refusal->place, refusal->expected, &report, NULL) != -EPROTO ||
		report.error != BELAY_PROBE_IO)
		return 1;
	/* This one, and those of one closer. */
	return threads_now() <= 1 + BELAY__CLOSER_THREADS ? 0 : 2;
}

static void an_old_kernel_lets_few_descriptors_through(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_sends_strays, &daemon), prober;
	struct refusal refusal = { .call = SYS_setsockopt,
		.argument = 2,
		.value = SO_PASSRIGHTS,
		.error = ENOPROTOOPT,
		.place = place,
		.expected = record_of(place, &child) };

	prober = child_start(body_takes_strays, &refusal);
	reap_well(&prober);
	reap_well(&child);
}

/* What lacks descriptors is this side: nobody else answered. */
static int body_lacks_descriptors(void *argument)
{
	const struct refusal *refusal = argument;
	struct place place = *refusal->place;
	int lowest = dup(STDERR_FILENO), in_io = 0, r = -1;
	struct belay_probe_report report;

	(void)close(lowest);
	if (belay_hashes_new(&place.options.hashes) < 0)
		return 1;
	/* Only what has not changed for a second is remembered; a test may just have been built. */
	do
		if (probe(&place, refusal->expected, &report, NULL) < 0 || !report.by_descendant)
			return 2;
	while (!is_warm(place.options.hashes));
	for (unsigned spare = 0; spare < 12 && r < 0; spare++) {
		const struct rlimit few = { (rlim_t)lowest + spare, (rlim_t)lowest + 12 };

		if (setrlimit(RLIMIT_NOFILE, &few) < 0)
			return 3;
		r = probe(&place, refusal->expected, &report, NULL);
		if (r < 0 && r != -EMFILE)
			return 4;
		in_io += report.error == BELAY_PROBE_IO;
	}
	(void)belay_hashes_free(place.options.hashes);
	return r == 0 && in_io == 1 ? 0 : 5;
}

static void without_descriptors_nobody_else_answered(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_has_a_child_that_serves_on, &daemon), prober;
	struct refusal refusal = { .place = place, .expected = record_of(place, &child) };

	prober = child_start(body_lacks_descriptors, &refusal);
	reap_well(&prober);
	child_end(&child);
}

static void without_credentials_nothing_is_sent(void **state)
{
	struct refusal refusal = { .call = SYS_setsockopt,
		.argument = 2,
		.value = SO_PASSCRED,
		.error = EPERM };

	check(*state, NULL, refusal, BELAY_PROBE_CONFIGURE_NONBLOCKING);
}

static void an_old_kernel_lets_descriptors_through(void **state)
{
	struct refusal refusal = { .call = SYS_setsockopt,
		.argument = 2,
		.value = SO_PASSRIGHTS,
		.error = ENOPROTOOPT };

	check(*state, body_serves, refusal, BELAY_PROBED);
}

static void an_old_kernel_names_descendants_by_number(void **state)
{
	struct refusal refusal = { .call = SYS_setsockopt,
		.argument = 2,
		.value = SO_PASSPIDFD,
		.error = ENOPROTOOPT };

	check(*state, body_has_a_child, refusal, BELAY_PROBED);
}

static void who_listens_need_not_be_known(void **state)
{
	struct refusal refusal = { .call = SYS_getsockopt, .argument = -1, .error = EPERM };

	check(*state, body_serves, refusal, BELAY_PROBED);
}

static void trace_context_must_be_text_and_fit(void **state)
{
	static uint8_t trace[1200];
	struct place *place = *state;
	struct belay_probe_report report;

	memset(trace, 't', sizeof(trace));
	trace[3] = 0xff;
	place->options.traceparent = (struct belay_bytes){ trace, 10 };
	assert_int_equal(probe(place, &place->self, &report, NULL), -EINVAL);
	assert_int_equal(report.error, BELAY_PROBE_ENCODE_FRAME);
	assert_string_equal(belay_probe_error_name(report.error), "EncodeFrame");

	trace[3] = 't';
	place->options.traceparent.len = 1025;
	assert_int_equal(probe(place, &place->self, &report, NULL), -EINVAL);
	assert_int_equal(report.error, BELAY_PROBE_ENCODE_FRAME);
}

static void trace_context_is_sent_along(void **state)
{
	static uint8_t trace[1024];
	struct place *place = *state;
	struct belay_probe_report report;
	struct belay_probe_request request;
	struct belay_prober *prober;
	int connection;

	memset(trace, 't', sizeof(trace));
	place->options.traceparent = (struct belay_bytes){ trace, 55 };
	place->options.tracestate = (struct belay_bytes){ trace, sizeof(trace) - 55 };
	prober = ask(place);
	connection = accept_at(place->listener);
	read_request(connection, &request);
	assert_int_equal(request.traceparent.len, 55);
	assert_int_equal(request.tracestate.len, sizeof(trace) - 55);
	(void)close(connection);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(without_random_bytes_nothing_is_sent),
		PLACE_TEST(without_random_bytes_it_is_over),
		PLACE_TEST(an_old_kernel_lets_few_descriptors_through),
		PLACE_TEST(without_descriptors_nobody_else_answered),
		PLACE_TEST(without_credentials_nothing_is_sent),
		PLACE_TEST(an_old_kernel_lets_descriptors_through),
		PLACE_TEST(an_old_kernel_names_descendants_by_number),
		PLACE_TEST(who_listens_need_not_be_known),
		PLACE_TEST(trace_context_must_be_text_and_fit),
		PLACE_TEST(trace_context_is_sent_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
