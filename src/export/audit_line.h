/* audit_line.h - one record of the recovery audit log as a line, chained to the one before, and back
 *
 * Schema v2 of the original: tab-separated columns, the first a sequence number, the last the
 * chain: lowercase hex of SHA-256("VARTA-AUDIT-v2" 00 KIND 00 PREVIOUS 00 BODY), where PREVIOUS is
 * the chain of the line before as 32 bytes (zeros at first) and BODY the line up to, not including,
 * the tab in front of the chain. There is no secret in it: whoever can write the file can write a whole
 * new chain, so only a chain of which the head is kept elsewhere shows every change.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BELAY__AUDIT_HEADER     "# varta-watch recovery audit v2"
#define BELAY__AUDIT_HEADER_V1  "# varta-watch recovery audit v1"
#define BELAY__AUDIT_CHAIN_SIZE 32

enum belay__audit_kind {
	BELAY__AUDIT_BOOT,
	BELAY__AUDIT_SPAWN,
	BELAY__AUDIT_COMPLETE,
	BELAY__AUDIT_REFUSED,
};

/* Why a log was begun, or gone on with. */
enum belay__audit_boot {
	BELAY__AUDIT_FRESH,
	BELAY__AUDIT_RESUME,
	BELAY__AUDIT_LEGACY_V1,    /* behind lines of schema v1 */
	BELAY__AUDIT_CORRUPT_TAIL, /* behind a torn line, which was cut off */
	BELAY__AUDIT_SCHEMA_DRIFT, /* behind lines of no known schema */
	BELAY__AUDIT_ROTATION,
};

enum belay__audit_outcome {
	BELAY__AUDIT_REAPED,
	BELAY__AUDIT_KILLED,
	BELAY__AUDIT_REAP_FAILED,
};

/* Borrowed bytes. In a line tab, newline and carriage return become spaces. */
struct belay__audit_text {
	const char *bytes;
	size_t len;
};

struct belay__audit_record {
	uint64_t seq;         /* from 1, strictly increasing */
	uint64_t wall_ms;     /* since the epoch */
	uint64_t observer_ns; /* on the observer's clock */
	enum belay__audit_kind kind;
	union {
		struct {
			uint32_t daemon_pid;
			enum belay__audit_boot reason;
			bool has_previous;
			uint8_t previous[BELAY__AUDIT_CHAIN_SIZE];
		} boot;
		struct {
			uint32_t agent_pid, child_pid;
			struct belay__audit_text mode; /* empty: "exec" */
			struct belay__audit_text program;
			struct belay__audit_text source; /* "inline", or a rule file's path */
			uint64_t template_len; /* the argv, joined by one separator, in bytes */
		} spawn;
		struct {
			uint32_t agent_pid, child_pid;
			enum belay__audit_outcome outcome;
			int32_t exit_code, signal; /* -1: none */
			uint64_t duration_ns;
			uint64_t stdout_len, stderr_len;
			bool truncated;
		} complete;
		struct {
			uint32_t agent_pid;
			struct belay__audit_text reason;
		} refused;
	};
};

/* What computes chains; its memory is used again for every line. */
struct belay__audit_hasher {
	struct evp_md_ctx_st *context;
	struct evp_md_st *digest;
};

/* 0, or -ENOMEM or -ENOTSUP when libcrypto gives no SHA-256; done() is allowed after a failure. */
int belay__audit_hasher_init(struct belay__audit_hasher *hasher);
void belay__audit_hasher_done(struct belay__audit_hasher *hasher);

/* The chain of the line with BODY behind the one whose chain is PREVIOUS. 0 or -EIO. */
int belay__audit_chain(const struct belay__audit_hasher *hasher, enum belay__audit_kind kind,
	const uint8_t previous[BELAY__AUDIT_CHAIN_SIZE], const char *body, size_t len,
	uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE]);

/* Writes RECORD as a line with its newline (not NUL-terminated) and gives its chain. Returns the
 * line's length, -EMSGSIZE when it does not fit, or -EIO. */
int belay__audit_format(const struct belay__audit_hasher *hasher,
	const struct belay__audit_record *record, const uint8_t previous[BELAY__AUDIT_CHAIN_SIZE],
	char *line, size_t size, uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE]);

struct belay__audit_line {
	struct belay__audit_record record; /* its texts lie in the line */
	size_t body_len;
	bool has_chain; /* false: the column is "-", as builds of the original without it write */
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE];
};

/* Reads a line without its newline; the chain is read, not checked. 0, or -EINVAL with a half
 * sentence ("its sequence number is none") in *reterr_why (NULL allowed). */
int belay__audit_parse(const char *line, size_t len, struct belay__audit_line *ret_line,
	const char **reterr_why);

/* CHAIN in hex, NUL-terminated. */
void belay__audit_chain_text(const uint8_t chain[BELAY__AUDIT_CHAIN_SIZE],
	char text[2 * BELAY__AUDIT_CHAIN_SIZE + 1]);

/* "boot", "spawn" ... */
const char *belay__audit_kind_name(enum belay__audit_kind kind);
