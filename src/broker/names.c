#include "broker/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <belay/handoff.h>

#include "base/error.h"
#include "broker/hex.h"
#include "wire/service_name.h"

#define VERSION_MAX 64

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* WHAT is "service" or "instance". Says what is wrong with a NAME of LEN bytes that is not valid. */
static int fail_name(const char *what, const char *name, size_t len, struct belay_error *reterr)
{
	size_t at = 0;

	if (len == 0)
		return belay__fail(reterr, -EINVAL,
			"the %s has no name: it takes 1 to %d of a-z, 0-9 and -", what,
			BELAY_HANDOFF_SERVICE_MAX);
	if (len > BELAY_HANDOFF_SERVICE_MAX)
		return belay__fail(reterr, -EINVAL,
			"the %s's name has %zu bytes: it takes 1 to %d of a-z, 0-9 and -", what,
			len, BELAY_HANDOFF_SERVICE_MAX);
	while (at < len - 1 && belay__service_name_valid(name + at, 1))
		at++;
	if (name[at] >= 'A' && name[at] <= 'Z')
		return belay__fail(reterr, -EINVAL,
			"the %s's name has the capital %c: names that differ in case only "
			"would be two on one machine and one on another; write it small",
			what, name[at]);
	return belay__fail(reterr, -EINVAL,
		"the %s's name has the byte 0x%02x at offset %zu: it takes a-z, 0-9 and -", what,
		(unsigned)(unsigned char)name[at], at);
}

static int check_name(const char *what, const char *name, struct belay_error *reterr)
{
	size_t len = name == NULL ? 0 : strlen(name);

	return belay__service_name_valid(name, len) ? 0 : fail_name(what, name, len, reterr);
}

int belay__service_check(const char *service, struct belay_error *reterr)
{
	return check_name("service", service, reterr);
}

int belay__instance_check(const char *instance, struct belay_error *reterr)
{
	return check_name("instance", instance, reterr);
}

/* Behind the digits at TEXT, or NULL when there are none. */
static const char *skip_number(const char *text)
{
	const char *end = text;

	while (is_digit(*end))
		end++;
	return end == text ? NULL : end;
}

/* Behind "1.2.3", or NULL. */
static const char *skip_triple(const char *text)
{
	for (int i = 0; i < 3 && text != NULL; i++) {
		if (i > 0 && *text++ != '.')
			return NULL;
		text = skip_number(text);
	}
	return text;
}

/* Whether TEXT is empty or "-rc.1". */
static bool is_suffix(const char *text)
{
	if (*text == '\0')
		return true;
	if (*text++ != '-' || *text == '\0')
		return false;
	while (is_lower(*text) || is_digit(*text) || *text == '.')
		text++;
	return *text == '\0';
}

int belay__version_check(const char *version, struct belay_error *reterr)
{
	const char *rest;

	if (version == NULL || strlen(version) > VERSION_MAX)
		return belay__fail(reterr, -EINVAL, "a version has at most %d bytes, like 1.2.3",
			VERSION_MAX);
	rest = skip_triple(version);
	if (rest == NULL || !is_suffix(rest))
		return belay__fail(reterr, -EINVAL,
			"this is no version: three numbers with dots between, and perhaps - and a "
			"suffix of a-z, 0-9 and dots, like 1.2.3 or 1.2.3-rc.1");
	return 0;
}

int belay__user_hash_check(const char *hash, struct belay_error *reterr)
{
	size_t len = hash == NULL ? 0 : strlen(hash);
	bool good = len == BELAY__USER_HASH_SIZE - 1;

	for (size_t i = 0; good && i < len; i++)
		good = is_digit(hash[i]) || (hash[i] >= 'a' && hash[i] <= 'f');
	if (!good)
		return belay__fail(reterr, -EINVAL,
			"this is no user's hash: it takes %d lowercase hexadecimal digits",
			BELAY__USER_HASH_SIZE - 1);
	return 0;
}

/* "rpb-v1-HASH-CLASS" and, unless TAIL is "", "-TAIL". The parts are checked and fit. */
static int build(const char *hash, const char *class, const char *tail,
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr)
{
	int r = belay__user_hash_check(hash, reterr);

	if (r < 0)
		return r;
	(void)snprintf(ret_name, BELAY__BROKER_NAME_SIZE, "rpb-v1-%s-%s%s%s", hash, class,
		tail[0] == '\0' ? "" : "-", tail);
	return 0;
}

int belay__name_shared(const char *hash, char ret_name[BELAY__BROKER_NAME_SIZE],
	struct belay_error *reterr)
{
	return build(hash, "shared", "", ret_name, reterr);
}

int belay__name_service(const char *hash, const char *service,
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr)
{
	int r = belay__service_check(service, reterr);

	return r < 0 ? r : build(hash, "svc", service, ret_name, reterr);
}

int belay__name_instance(const char *hash, const char *instance,
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr)
{
	int r = belay__instance_check(instance, reterr);

	return r < 0 ? r : build(hash, "inst", instance, ret_name, reterr);
}

int belay__name_backend(const char *hash, const uint8_t random128[16],
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr)
{
	char digits[33];

	belay__hex(random128, 16, digits);
	return build(hash, "be", digits, ret_name, reterr);
}

int belay__namespace_id(enum belay__isolation isolation, const char *name, char *ret_id,
	size_t size, struct belay_error *reterr)
{
	const char *prefix = "shared";
	char id[BELAY__BROKER_NAME_SIZE];
	int len, r = 0;

	if (isolation == BELAY__ISOLATION_PRIVATE) {
		prefix = "private:";
		r = belay__service_check(name, reterr);
	} else if (isolation == BELAY__ISOLATION_EXPLICIT) {
		prefix = "explicit:";
		r = belay__instance_check(name, reterr);
	}
	if (r < 0)
		return r;

	len = snprintf(id, sizeof(id), "%s%s", prefix,
		isolation == BELAY__ISOLATION_SHARED ? "" : name);
	if ((size_t)len >= size)
		return belay__fail(reterr, -ENAMETOOLONG,
			"the namespace's id has %d bytes and room is for %zu", len, size - 1);
	memcpy(ret_id, id, (size_t)len + 1);
	return 0;
}
