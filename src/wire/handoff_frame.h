/* handoff_frame.h - the frames of a hand-over: Offer, Ack and Ready, built and checked
 *
 * Checks stand in broker v1's order, the first that fails names the mistake: the frame (version, kind,
 * protocol, encoding), its request id, its payload, and what that says. A text is a static string, without
 * anything that a peer wrote. Nothing here allocates or copies: views point into the caller's bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/envelope.h>
#include <belay/handoff.h>

#include "wire/broker.h"

/* Whole frames of ours, header included, fit these. */
#define BELAY__HANDOFF_OFFER_SIZE 128
#define BELAY__HANDOFF_ACK_SIZE   256
/* Bytes of a body that anybody reads during a hand-over; broker v1's have some 200 at most. */
#define BELAY__HANDOFF_BODY_MAX 4096
/* Bytes of an ack's detail, and of the token that a refusal echoes, that we write. */
#define BELAY__HANDOFF_DETAIL_MAX 127
#define BELAY__HANDOFF_ECHO_MAX   64

/* Each writes a whole frame and returns its length; -EINVAL: the service has no byte or more than
 * BELAY_HANDOFF_SERVICE_MAX, or text is no UTF-8. handle_value is left out. */
ssize_t belay__handoff_offer_frame(const struct belay_handoff_token *token, const char *service,
	uint64_t correlation_id, uint8_t ret_frame[static BELAY__HANDOFF_OFFER_SIZE]);
/* The answer to an offer, with its token as it came: ACK's token and detail are cut to the maxima above. */
ssize_t belay__handoff_ack_frame(const struct belay__handoff_ack *ack,
	uint8_t ret_frame[static BELAY__HANDOFF_ACK_SIZE]);
/* The EVENT that tells the client. */
ssize_t belay__handoff_ready_frame(const struct belay_handoff_token *token, uint64_t correlation_id,
	bool accepted, uint8_t ret_frame[static BELAY__HANDOFF_ACK_SIZE]);

/* Reads an offer. 0; or -EPROTO: no such frame, or its request id is not its correlation id, -EBADMSG: its
 * payload; and *ret_text, while *ret_offer is left alone. Such an offer gets no answer. */
int belay__handoff_offer_read(const struct belay_envelope *envelope,
	struct belay__handoff_offer *ret_offer, const char **ret_text);
/* Whether it is the one that belongs to the token that CARRIED the descriptor, for SERVICE (NULL: any). 0;
 * -ENODATA: it has no token, -EMSGSIZE: of another length, -EPERM: another one, -EACCES: another
 * service; and *ret_text, which is what a refusal says. */
int belay__handoff_offer_check(const struct belay__handoff_offer *offer,
	const struct belay_handoff_token *carried, const char *service, const char **ret_text);

/* Reads an ack that should answer TOKEN and CORRELATION_ID. 0: accepted; -EPROTO: no such frame, -EBADMSG:
 * its payload, -EPERM: it answers something else, -ECONNREFUSED: a valid one that says no; with the class
 * of it in *ret_error and *ret_text. *ret_ack on 0 and -ECONNREFUSED only. */
int belay__handoff_ack_read(const struct belay_envelope *envelope,
	const struct belay_handoff_token *token, uint64_t correlation_id,
	struct belay__handoff_ack *ret_ack, enum belay_handoff_error *ret_error,
	const char **ret_text);

/* The client's: 0, or as belay__handoff_ack_read(). Ids are not looked at, as with broker v1. */
int belay__handoff_ready_read(const struct belay_envelope *envelope,
	const struct belay_handoff_token *token, const char **ret_text);
