#include "ipc/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/testing.h"

static union belay__address address_of(const char *text)
{
	union belay__address address;

	assert_int_equal(belay__address_parse(text, &address), 0);
	return address;
}

static int bind_to(const char *text, union belay__address *ret_bound)
{
	union belay__address address = address_of(text);
	struct belay_error error = { 0 };
	int fd = belay__udp_bind(&address, 0, ret_bound, &error);

	if (fd < 0)
		fail_msg("%s", error.text);
	return fd;
}

/* An unbound socket that sends to ADDRESS. */
static int sender_to(const union belay__address *address)
{
	int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &address->any, belay__address_len(address)), 0);
	return fd;
}

static bool has_ipv6(void)
{
	union belay__address address = address_of("[::1]:0"), bound;
	int fd = belay__udp_bind(&address, 0, &bound, NULL);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static void the_kernel_chooses_port_zero(void **state)
{
	union belay__address bound;
	int fds = test_fd_count(), fd = bind_to("127.0.0.1:0", &bound);
	char text[BELAY__ADDRESS_SIZE];
	(void)state;

	assert_true(belay__address_port(&bound) != 0);
	assert_true(belay__address_is_loopback(&bound));
	belay__address_text(&bound, text);
	assert_memory_equal(text, "127.0.0.1:", 10);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	(void)close(fd);
	assert_int_equal(test_fd_count(), fds);
}

static void a_buffer_is_asked_for(void **state)
{
	union belay__address address = address_of("127.0.0.1:0"), bound;
	int small = belay__udp_bind(&address, 4096, &bound, NULL), granted;
	int usual = belay__udp_bind(&address, 0, &bound, NULL), usually;
	socklen_t len = sizeof(granted);
	(void)state;

	assert_int_equal(getsockopt(small, SOL_SOCKET, SO_RCVBUF, &granted, &len), 0);
	assert_int_equal(getsockopt(usual, SOL_SOCKET, SO_RCVBUF, &usually, &len), 0);
	assert_true(granted < usually);
	(void)close(small);
	(void)close(usual);
}

static void a_port_is_not_shared(void **state)
{
	union belay__address first, second;
	struct belay_error error = { 0 };
	int fd = bind_to("127.0.0.1:0", &first), fds = test_fd_count(), on = 1;
	(void)state;

	memset(&second, 0x5a, sizeof(second));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(belay__udp_bind(&first, 0, &second, &error), -EADDRINUSE);
	assert_int_equal(error.code, -EADDRINUSE);
	assert_non_null(strstr(error.text, "127.0.0.1:"));
	assert_non_null(strstr(error.text, "another program"));
	assert_int_equal(second.any.sa_family, 0x5a5a);
	assert_int_equal(test_fd_count(), fds);
	(void)close(fd);
}

static void an_address_of_nobody_here_is_refused(void **state)
{
	union belay__address address = address_of("192.0.2.1:0"), bound;
	struct belay_error error = { 0 };
	int fds = test_fd_count();
	(void)state;

	assert_int_equal(belay__udp_bind(&address, 0, &bound, &error), -EADDRNOTAVAIL);
	assert_non_null(strstr(error.text, "192.0.2.1:0"));
	assert_int_equal(belay__udp_bind(&address, 0, &bound, NULL), -EADDRNOTAVAIL);
	address.any.sa_family = AF_MAX;
	assert_int_equal(belay__udp_bind(&address, 0, &bound, &error), -EAFNOSUPPORT);
	assert_int_equal(test_fd_count(), fds);
}

static void any_ipv6_address_takes_in_ipv4(void **state)
{
	struct belay__udp_receiver *receiver;
	const struct belay__udp_datagram *datagrams;
	union belay__address bound, v4 = address_of("127.0.0.1:0");
	int fd, sender;
	(void)state;

	if (!has_ipv6())
		skip();
	fd = bind_to("[::]:0", &bound);
	v4.in.sin_port = htons(belay__address_port(&bound));
	sender = sender_to(&v4);
	assert_int_equal(send(sender, "beat", 4, 0), 4);
	assert_int_equal(belay__udp_receiver_new(&receiver), 0);
	assert_int_equal(belay__udp_receive(receiver, fd, 1, &datagrams), 1);
	assert_int_equal(datagrams[0].from.any.sa_family, AF_INET6);
	assert_true(belay__address_is_loopback(&datagrams[0].from));
	(void)belay__udp_receiver_free(receiver);
	(void)close(sender);
	(void)close(fd);
}

static void lengths_are_told_up_to_one_too_many(void **state)
{
	static const struct {
		size_t sent;
		uint32_t told;
	} cases[] = { { 0, 0 }, { 1, 1 }, { 32, 32 }, { 60, 60 }, { 64, 64 }, { 65, 65 },
		{ 66, 65 }, { 1400, 65 } };
	const size_t count = sizeof(cases) / sizeof(*cases);
	struct belay__udp_receiver *receiver;
	const struct belay__udp_datagram *datagrams;
	union belay__address bound;
	int fd = bind_to("127.0.0.1:0", &bound), sender = sender_to(&bound);
	uint8_t bytes[1400];
	(void)state;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(send(sender, bytes, cases[i].sent, 0), cases[i].sent);
	assert_int_equal(belay__udp_receiver_new(&receiver), 0);
	assert_int_equal(belay__udp_receive(receiver, fd, BELAY__UDP_BATCH, &datagrams), count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(datagrams[i].len, cases[i].told);
		assert_memory_equal(datagrams[i].bytes, bytes, cases[i].told);
	}
	(void)belay__udp_receiver_free(receiver);
	(void)close(sender);
	(void)close(fd);
}

static void a_batch_is_as_large_as_asked_for(void **state)
{
	struct belay__udp_receiver *receiver;
	const struct belay__udp_datagram *datagrams = NULL;
	union belay__address bound, own;
	int fd = bind_to("127.0.0.1:0", &bound), sender = sender_to(&bound);
	socklen_t len = sizeof(own);
	(void)state;

	assert_int_equal(getsockname(sender, &own.any, &len), 0);
	assert_int_equal(belay__udp_receiver_new(&receiver), 0);
	assert_int_equal(belay__udp_receive(receiver, fd, BELAY__UDP_BATCH, &datagrams), 0);
	assert_null(datagrams);
	for (uint8_t i = 0; i < 70; i++)
		assert_int_equal(send(sender, &i, 1, 0), 1);
	assert_int_equal(belay__udp_receive(receiver, fd, 5, &datagrams), 5);
	assert_int_equal(datagrams[4].bytes[0], 4);
	assert_int_equal(belay__address_port(&datagrams[4].from), belay__address_port(&own));
	assert_int_equal(belay__udp_receive(receiver, fd, BELAY__UDP_BATCH, &datagrams), 64);
	assert_int_equal(datagrams[0].bytes[0], 5);
	assert_int_equal(datagrams[63].from.in.sin_port, own.in.sin_port);
	assert_int_equal(belay__udp_receive(receiver, fd, BELAY__UDP_BATCH, &datagrams), 1);
	assert_int_equal(datagrams[0].bytes[0], 69);
	assert_int_equal(belay__udp_receive(receiver, fd, BELAY__UDP_BATCH, &datagrams), 0);
	assert_int_equal(belay__udp_receive(receiver, -EBADF, 1, &datagrams), -EBADF);
	assert_null(belay__udp_receiver_free(receiver));
	assert_null(belay__udp_receiver_free(NULL));
	(void)close(sender);
	(void)close(fd);
}

static void an_icmp_answer_is_no_error(void **state)
{
	struct belay__udp_receiver *receiver;
	const struct belay__udp_datagram *datagrams;
	union belay__address bound, gone;
	int fd = bind_to("127.0.0.1:0", &bound), nobody = bind_to("127.0.0.1:0", &gone);
	(void)state;

	(void)close(nobody);
	assert_int_equal(connect(fd, &gone.any, belay__address_len(&gone)), 0);
	assert_int_equal(send(fd, "beat", 4, 0), 4);
	assert_int_equal(belay__udp_receiver_new(&receiver), 0);
	assert_int_equal(belay__udp_receive(receiver, fd, 1, &datagrams), 0);
	(void)belay__udp_receiver_free(receiver);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_chooses_port_zero),
		cmocka_unit_test(a_buffer_is_asked_for),
		cmocka_unit_test(a_port_is_not_shared),
		cmocka_unit_test(an_address_of_nobody_here_is_refused),
		cmocka_unit_test(any_ipv6_address_takes_in_ipv4),
		cmocka_unit_test(lengths_are_told_up_to_one_too_many),
		cmocka_unit_test(a_batch_is_as_large_as_asked_for),
		cmocka_unit_test(an_icmp_answer_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
