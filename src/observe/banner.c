#include "observe/banner.h"

#include <stdio.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"

/* A queue that holds fewer beats than this loses some when a handful of processes beat at once. */
#define SMALL_QUEUE 64

static void warn_about_queue(const struct belay__parent *parent)
{
	if (parent->queue_frames >= SMALL_QUEUE)
		return;
	belay__log(BELAY__LOG_WARNING,
		"the kernel queues only %d beats here (net.unix.max_dgram_qlen): more processes "
		"than that may lose beats "
		"when they beat at once; raise it with --dgram-qlen 512 or sysctl "
		"net.unix.max_dgram_qlen=512",
		parent->queue_frames);
}

/* What the original warns about, too. */
static void warn_about_actions(const struct belay__observe_options *options)
{
	if (options->recovery_inherit_env)
		belay__log(BELAY__LOG_WARNING,
			"--recovery-inherit-env: commands get the observer's whole environment, "
			"secrets in it included");
	if (options->audit_file[0] != '\0' && options->audit_sync_every > 1)
		belay__log(BELAY__LOG_WARNING,
			"--recovery-audit-sync-every %llu: a crash of the host may lose as many "
			"records",
			(unsigned long long)options->audit_sync_every);
}

/* Who can send what is received, and what that can lead to. */
static void warn_about_network(const struct belay__observe_options *options)
{
	union belay__address address;
	char text[BELAY__ADDRESS_SIZE];
	bool sealed = belay__udp_is_sealed(options);

	if (options->udp_port == 0) {
		if (sealed)
			belay__log(BELAY__LOG_WARNING,
				"keys are of no use without --udp-port: nothing is received that "
				"they could open");
		return;
	}
	if (belay__address_parse_ip(belay__udp_bind_addr(options), (uint16_t)options->udp_port,
		    &address) < 0)
		return;
	belay__address_text(&address, text);
	if (!sealed)
		belay__log(BELAY__LOG_WARNING,
			"UDP on %s is received WITHOUT authentication (--i-accept-plaintext-udp): "
			"whoever can send a datagram there can beat for any process, and whoever "
			"is "
			"on the way can read; use --key-file",
			text);
	else if (!belay__address_is_loopback(&address))
		belay__log(BELAY__LOG_WARNING,
			"other hosts can reach UDP on %s (--i-accept-secure-udp-non-loopback): "
			"each "
			"of their datagrams is tried with every key; let a firewall pass those "
			"that "
			"beat",
			text);
	if (sealed ? options->secure_recovery : options->plaintext_recovery)
		belay__log(BELAY__LOG_WARNING,
			"UDP on %s can lead to commands "
			"(--%s-udp-i-accept-recovery-on-unauthenticated-transport): %s decides "
			"when they run",
			text, sealed ? "secure" : "plaintext",
			sealed ? "who has a key" : "anybody who can send a datagram");
}

void belay__banner(const struct belay__parent *parent, uint32_t going_on)
{
	const struct belay__observe_options *options = &parent->config.options;
	char buffer[64];
	struct belay__text threshold;

	warn_about_queue(parent);
	warn_about_actions(options);
	warn_about_network(options);
	if (options->no_sandbox)
		belay__log(BELAY__LOG_WARNING,
			"--no-sandbox: who takes over a role can do all that this user can");
	if (!isatty(STDERR_FILENO))
		return;
	belay__text_init(&threshold, buffer, sizeof(buffer));
	belay__text_add_age(&threshold, options->threshold_ns);
	(void)fprintf(stderr,
		"socket     %s\n"
		"threshold  %s\n"
		"room       %llu processes; %d beats at once\n"
		"events     %s\n"
		"metrics    %s\n"
		"acts       %s\n",
		options->socket, buffer, (unsigned long long)options->capacity,
		parent->queue_frames, parent->events_wanted ? options->events : "not kept",
		parent->metrics.fd >= 0 ? "belay metrics" : options->metrics_addr,
		belay__crew_wants(parent, BELAY__ROLE_RUNNER)
			? "as configured; belay act NAME --dry-run"
			: "on nothing");
	if (going_on > 0)
		(void)fprintf(stderr, "%u processes go on from before\n", going_on);
	else if (parent->socket_is_default)
		(void)fprintf(stderr, "nobody beats yet; try: belay beat demo --of $$\n");
	else
		(void)fprintf(stderr, "nobody beats yet; try: belay beat demo --of $$ --socket %s\n",
			options->socket);
}
