/* What the options about beats from other hosts demand of each other: who opens a way in, or lets what
 * comes by it run something, says so by name. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/error.h"
#include "observe/options.h"

#define LOOPBACK "127.0.0.1"
#define ANYWHERE "0.0.0.0"

bool belay__udp_is_sealed(const struct belay__observe_options *options)
{
	return options->key_file[0] != '\0' || options->accepted_key_file[0] != '\0' ||
		options->master_key_file[0] != '\0';
}

const char *belay__udp_bind_addr(const struct belay__observe_options *options)
{
	if (options->udp_bind_addr[0] != '\0')
		return options->udp_bind_addr;
	return belay__udp_is_sealed(options) ? LOOPBACK : ANYWHERE;
}

/* Where the step behind the one at AT begins; "\," belongs to a command. */
static const char *next_step(const char *at)
{
	for (; *at != '\0' && *at != ','; at++)
		if (at[0] == '\\' && at[1] == ',')
			at++;
	return *at == ',' ? at + 1 : at;
}

/* Whether LADDER (process/ladder.h), which need not be one that can be read, has a command for a
 * step. Signals do not reach other hosts. */
static bool runs_command(const char *ladder)
{
	static const char word[] = "command";
	const size_t len = sizeof(word) - 1;

	for (const char *at = ladder; *at != '\0'; at = next_step(at)) {
		at += strspn(at, " \t");
		if (strncmp(at, word, len) == 0 && !isalnum((unsigned char)at[len]))
			return true;
	}
	return false;
}

/* The option, or the key of RULE, that names a command which beats from elsewhere may lead to. */
static const char *command_of(const struct belay__observe_options *options,
	const struct belay__rule *rule)
{
	if (rule != NULL)
		return rule->host[0] != '\0' && runs_command(rule->on_stall) ? "on-stall" : NULL;
	if (options->recovery_exec[0] != '\0')
		return "--recovery-exec";
	if (options->recovery_exec_file[0] != '\0')
		return "--recovery-exec-file";
	if (runs_command(options->on_stall))
		return "--on-stall";
	if (options->on_exit[0] != '\0' && strcmp(options->on_exit, "none") != 0)
		return "--on-exit";
	return NULL;
}

int belay__udp_recovery_check(const struct belay__observe_options *options,
	const struct belay__rule *rule, struct belay_error *reterr)
{
	bool sealed = belay__udp_is_sealed(options);
	const char *command = command_of(options, rule);

	if (options->udp_port == 0 || command == NULL ||
		(sealed ? options->secure_recovery : options->plaintext_recovery))
		return 0;
	return belay__fail(reterr, -EINVAL,
		"%s with --udp-port: who can send %s decides when the command runs; leave one out, "
		"or "
		"accept that with "
		"--%s-udp-i-accept-recovery-on-unauthenticated-transport",
		command, sealed ? "sealed frames" : "a datagram", sealed ? "secure" : "plaintext");
}

static int check_address(const struct belay__observe_options *options,
	union belay__address *ret_address, struct belay_error *reterr)
{
	const char *ip = belay__udp_bind_addr(options);

	if (belay__address_parse_ip(ip, (uint16_t)options->udp_port, ret_address) < 0)
		return belay__fail(reterr, -EINVAL,
			"--udp-bind-addr: '%s' is no IP address; write one like 127.0.0.1, "
			"0.0.0.0, "
			"::1 or ::",
			ip);
	if (options->udp_bind_addr[0] != '\0' && options->udp_port == 0)
		return belay__fail(reterr, -EINVAL,
			"--udp-bind-addr is of no use without --udp-port; give the port, or leave "
			"it "
			"out");
	return 0;
}

int belay__udp_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr)
{
	union belay__address address;
	int r = check_address(options, &address, reterr);

	if (r == 0)
		r = belay__udp_recovery_check(options, /* rule= */ NULL, reterr);
	if (r < 0 || options->udp_port == 0)
		return r;
	if (belay__udp_is_sealed(options) && !belay__address_is_loopback(&address) &&
		!options->accept_secure_non_loopback)
		return belay__fail(reterr, -EINVAL,
			"--udp-bind-addr: other hosts can reach %s; accept that with "
			"--i-accept-secure-udp-non-loopback, or bind to 127.0.0.1",
			options->udp_bind_addr);
	return 0;
}

int belay__udp_keys_check(const struct belay__observe_options *options, struct belay_error *reterr)
{
	if (options->udp_port == 0 || belay__udp_is_sealed(options) || options->accept_plaintext_udp)
		return 0;
	return belay__fail(reterr, -EINVAL,
		"--udp-port: without a key anybody can forge beats; make one with belay key new "
		"and "
		"name it with --key-file, or accept that with --i-accept-plaintext-udp");
}
