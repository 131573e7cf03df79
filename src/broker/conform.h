/* conform.h - a backend, from outside: one rule of broker v1 after the other
 *
 * Nothing is known about the backend but its endpoints; what it is told is said byte by byte here, so
 * that any implementation can be checked. A rule looks at one thing alone: what breaks another rule does
 * not break this one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>
#include <belay/identity.h>

enum belay__conform_verdict {
	BELAY__CONFORM_PASS,
	BELAY__CONFORM_FAIL,
	BELAY__CONFORM_SKIP, /* it could not be tried here */
};

#define BELAY__CONFORM_WHY_SIZE 256

/* A backend that is looked at; its strings are borrowed. */
struct belay__conform {
	const char *socket;
	const char *handoff;  /* its hand-over endpoint; NULL: those rules are skipped */
	const char *service;  /* what is handed over is for this one */
	uint64_t patience_ns; /* how long each thing that must come is waited for; 0: 5 s */
	const struct belay_daemon *expected; /* its sidecar's record; NULL: none is known */
	char why[BELAY__CONFORM_WHY_SIZE]; /* of the rule that was looked at last, in one line; "" */
	bool remarked;                     /* a rule that is kept says something, too */
	bool unanswered;                   /* something that had to come did not in time */
};

struct belay__conform_rule {
	const char *name;     /* "probe-nonce" */
	const char *sentence; /* what a backend does that keeps it; no final stop */
	enum belay__conform_verdict (*check)(struct belay__conform *conform);
};

/* In the order in which they are looked at: the last one asks whether it survived all others. */
extern const struct belay__conform_rule belay__conform_rules[];
extern const size_t belay__conform_rule_count;

/* Whether somebody listens at both endpoints. 0, or connect(2)'s negative errno with a sentence. */
int belay__conform_reach(const struct belay__conform *conform, struct belay_error *reterr);

/* Whether whoever listens at the socket takes connections over, instead of answering: it is the other of a
 * backend's endpoints. */
bool belay__conform_is_handoff(const struct belay__conform *conform);

/* Whether anybody answers a right probe; if not, conform->why says what happened. */
bool belay__conform_answers(struct belay__conform *conform);

/* Looks at one rule; conform->why says why it is not kept, what was seen, or "". */
enum belay__conform_verdict belay__conform_check(struct belay__conform *conform,
	const struct belay__conform_rule *rule);

/* "pass", "fail", "skip". */
const char *belay__conform_verdict_name(enum belay__conform_verdict verdict);
