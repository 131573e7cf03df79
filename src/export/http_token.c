#include "export/http_token.h"

#include <string.h>
#include <strings.h>

enum { DIGITS = 2 * BELAY__HTTP_TOKEN_LEN };

int belay__http_token_read(const char *path, uint8_t ret_token[static BELAY__HTTP_TOKEN_LEN],
	struct belay_error *reterr)
{
	return belay__secret_read(path, "token", ret_token, reterr);
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
	if (strlen(authorization) != DIGITS || belay__secret_parse(authorization, shown) < 0)
		return false;

	/* Every byte is looked at, and volatile keeps the compiler from stopping early. */
	for (size_t i = 0; i < sizeof(shown); i++)
		differs = (uint8_t)(differs | (shown[i] ^ token[i]));
	explicit_bzero(shown, sizeof(shown));
	return differs == 0;
}
