#include "beat/test_sealed.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "wire/bytes.h"

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __real_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __real_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size);

const struct belay_key test_key = { .bytes = { 1, 2, 3, 4, 5, 6, 7, 8, [31] = 0xFF } };
struct test_calls test_calls;

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	int error = test_calls.sends < 4 ? test_calls.send_errors[test_calls.sends] : 0;

	test_calls.sends++;
	assert_true(len <= sizeof(test_calls.last));
	memcpy(test_calls.last, bytes, len);
	test_calls.last_len = len;
	if (error == 0)
		return __real_send(fd, bytes, len, flags);
	errno = error;
	return -1;
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	int how = test_calls.asked < 4 ? test_calls.entropy[test_calls.asked] : 0;

	test_calls.asked++;
	assert_int_equal(flags, 0);
	if (how == 0)
		return __real_getrandom(bytes, len, flags);
	if (how == -INT_MAX)
		return 0;
	if (how > 0)
		return __real_getrandom(bytes, (size_t)how < len ? (size_t)how : len, flags);
	errno = -how;
	return -1;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	if (test_calls.connect_error == 0)
		return __real_connect(fd, address, len);
	errno = test_calls.connect_error;
	test_calls.connect_error = 0;
	return -1;
}

int __wrap_munmap(void *memory, size_t size)
{
	const uint8_t *bytes = memory;

	test_calls.unmapped_is_zero = true;
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			test_calls.unmapped_is_zero = false;
	return __real_munmap(memory, size);
}

bool test_opened_take(const struct test_far *far, struct test_opened *ret_opened)
{
	uint8_t bytes[BELAY__SEALED_MASTER_LEN + 1], key[BELAY__KEY_LEN], frame[BELAY_FRAME_LEN];
	const uint8_t *sealed = bytes;
	ssize_t n = test_far_take(far, bytes, sizeof(bytes));

	if (n < 0)
		return false;
	*ret_opened = (struct test_opened){ 0 };
	memcpy(key, test_key.bytes, sizeof(key));
	if (n == BELAY__SEALED_MASTER_LEN) {
		ret_opened->pid = belay__get_le32(bytes);
		belay__derive_agent_key(test_key.bytes, ret_opened->pid, key);
		sealed += sizeof(ret_opened->pid);
	} else {
		assert_int_equal(n, BELAY__SEALED_LEN);
	}
	memcpy(ret_opened->prefix, sealed, sizeof(ret_opened->prefix));
	ret_opened->counter = belay__get_le32(sealed + sizeof(ret_opened->prefix));
	assert_true(belay__unseal(key, sealed, bytes, (unsigned)(sealed - bytes), frame));
	assert_true(belay_frame_decode(frame, &ret_opened->frame, NULL));
	return true;
}

struct test_opened test_opened_take_only(const struct test_far *far)
{
	struct test_opened opened = { 0 }, second;

	assert_true(test_opened_take(far, &opened));
	assert_false(test_opened_take(far, &second));
	return opened;
}

struct belay__sealed *test_sealed_of(const struct belay *belay)
{
	return belay->transport.data;
}
