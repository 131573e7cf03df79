#include "cmd/beat_udp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

/* 0 or a negative errno. The answer of this host, that nobody listens, is there at once; another's
 * would have to be waited for. */
static int send_to(const union belay__address *address, const uint8_t bytes[static BELAY_FRAME_LEN])
{
	_cleanup_close_ int fd = socket(address->any.sa_family,
		SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0 || connect(fd, &address->any, belay__address_len(address)) < 0 ||
		send(fd, bytes, BELAY_FRAME_LEN, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

int belay__beat_udp(const char *address, uint32_t pid, enum belay_status status, uint32_t payload,
	struct belay_error *reterr)
{
	const struct belay_frame frame = {
		.status = (uint8_t)status,
		.pid = pid,
		.timestamp_ns = belay__clock_ns(CLOCK_BOOTTIME),
		.nonce = belay__clock_ns(CLOCK_REALTIME),
		.payload = payload,
	};
	union belay__address parsed;
	uint8_t bytes[BELAY_FRAME_LEN];
	int r;

	if (belay__address_parse_peer(address, &parsed) < 0)
		return belay__fail(reterr, -EINVAL,
			"'%s' is no address to send to; write IP:PORT or [IP6]:PORT, with numbers "
			"only and a port from 1",
			address);
	belay_frame_encode(&frame, bytes);
	r = send_to(&parsed, bytes);
	if (r == -ECONNREFUSED)
		return belay__fail(reterr, r,
			"nobody listens at %s; there has to be: belay observe --udp-port PORT",
			address);
	if (r < 0)
		return belay__fail(reterr, r, "cannot send to %s: %s", address, strerror(-r));
	return 0;
}
