#include "proxy/session/id.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "lib/panic.h"

#define ID_LEN (SESSION_ID_SIZE - 1)
#define POOL_BYTES (32 * ID_LEN) /* random bytes fetched at once */

static const char base64[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const unsigned char *random_bytes(size_t len)
{
	static _Thread_local unsigned char pool[POOL_BYTES];
	static _Thread_local size_t left;

	if (left < len) {
		while (getrandom(pool, sizeof(pool), 0) !=
		       (ssize_t)sizeof(pool))
			if (errno != EINTR)
				PANIC("getrandom failed (errno %d)", errno);
		left = sizeof(pool);
	}
	left -= len;
	return pool + left;
}

void session_id_make(char id[SESSION_ID_SIZE])
{
	const unsigned char *bytes = random_bytes(ID_LEN);
	size_t i;

	for (i = 0; i < ID_LEN; i++)
		id[i] = base64[bytes[i] & 63];
	id[ID_LEN] = '\0';
}

const char *session_id_part(struct arena *arena, const char *id,
			    const char *suffix, unsigned number)
{
	char digits[16] = "", *at = digits + sizeof(digits) - 1;

	if (number <= 1)
		return id;
	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	return arena_concat(arena, id, suffix, at);
}
