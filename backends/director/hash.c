#include "backends/director/hash.h"

#include <string.h>

#include "lib/digest.h"

int director_hash(const char *text, uint64_t *hash_r)
{
	uint8_t digest[DIGEST_MAX_SIZE];
	unsigned i;

	if (digest_compute(digest_find("md5"), text, strlen(text), digest) < 0)
		return -1;
	*hash_r = 0;
	for (i = 0; i < sizeof(*hash_r); i++)
		*hash_r = *hash_r << 8 | digest[i];
	return 0;
}
