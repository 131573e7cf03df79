#include <belay/handoff.h>

#include <errno.h>
#include <string.h>

bool belay_handoff_token_equal(const struct belay_handoff_token *left,
	const struct belay_handoff_token *right)
{
	/* volatile: each byte is looked at, whatever the ones before it were. */
	volatile uint8_t differing = 0;

	for (size_t i = 0; i < BELAY_HANDOFF_TOKEN_LEN; i++)
		differing = (uint8_t)(differing | (left->secret[i] ^ right->secret[i]));
	return differing == 0;
}

int belay_handoff_token_parse(const uint8_t *bytes, size_t len,
	struct belay_handoff_token *ret_token)
{
	if (len == 0)
		return -ENODATA;
	if (len != BELAY_HANDOFF_TOKEN_LEN)
		return -EMSGSIZE;

	memcpy(ret_token->secret, bytes, BELAY_HANDOFF_TOKEN_LEN);
	return 0;
}
