#include "export/http_token.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

enum { DIGITS = 2 * BELAY__HTTP_TOKEN_LEN };

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Reads DIGITS digits; whether that is what they were. */
static bool decode(const char *digits, uint8_t *ret_bytes)
{
	int wrong = 0;

	for (size_t i = 0; i < BELAY__HTTP_TOKEN_LEN; i++) {
		int high = digit_value(digits[2 * i]), low = digit_value(digits[2 * i + 1]);

		wrong |= high | low;
		ret_bytes[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
	}
	return wrong >= 0;
}

/* A file for more eyes than ours holds no secret. */
static int check_closed(int fd, const char *path, struct belay_error *reterr)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot examine %s: %s", path, strerror(errno));
	if ((stat.st_mode & 077) != 0)
		return belay__fail(reterr, -EPERM,
			"%s can be read by others; run: chmod 600 %s, and make a new token", path,
			path);
	return 0;
}

/* Reads at most SIZE bytes; one more than a token can have tells that the file is too long. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buffer + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

int belay__http_token_read(const char *path, uint8_t ret_token[static BELAY__HTTP_TOKEN_LEN],
	struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__open_trusted(path, reterr);
	uint8_t token[BELAY__HTTP_TOKEN_LEN];
	char text[DIGITS + 3];
	bool valid;
	ssize_t len;
	int r;

	if (fd < 0)
		return fd;
	r = check_closed(fd, path, reterr);
	if (r < 0)
		return r;
	len = read_all(fd, text, sizeof(text));
	if (len < 0)
		return belay__fail(reterr, (int)len, "cannot read %s: %s", path,
			strerror((int)-len));

	if (len > DIGITS && text[len - 1] == '\n')
		len--;
	if (len > DIGITS && text[len - 1] == '\r')
		len--;
	valid = len == DIGITS && decode(text, token);
	explicit_bzero(text, sizeof(text));
	if (valid)
		memcpy(ret_token, token, sizeof(token));
	explicit_bzero(token, sizeof(token));
	if (!valid)
		return belay__fail(reterr, -EINVAL,
			"%s does not hold %d hexadecimal digits; run: openssl rand -hex %d > %s",
			path, DIGITS, BELAY__HTTP_TOKEN_LEN, path);
	return 0;
}

bool belay__http_token_matches(const uint8_t token[static BELAY__HTTP_TOKEN_LEN],
	const char *authorization)
{
	static const char scheme[] = "Bearer ";
	uint8_t shown[BELAY__HTTP_TOKEN_LEN];
	volatile uint8_t differs = 0;

	if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return false;
	authorization += sizeof(scheme) - 1;
	while (*authorization == ' ')
		authorization++;
	if (strlen(authorization) != DIGITS || !decode(authorization, shown))
		return false;

	/* Every byte is looked at, and volatile keeps the compiler from stopping early. */
	for (size_t i = 0; i < sizeof(shown); i++)
		differs = (uint8_t)(differs | (shown[i] ^ token[i]));
	explicit_bzero(shown, sizeof(shown));
	return differs == 0;
}
