#include "lib/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t hash_seed(void)
{
	uint64_t seed = 0;

	/* Without it lookups only lose their protection against chosen
	 * names. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = (uint64_t)time(NULL);
	return seed;
}

static uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product =
		(unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes per multiplication. */
uint64_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
	const char *bytes = data;
	uint64_t hash = seed ^ len, word;

	for (; len >= sizeof(word); len -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = hash_mix(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
		bytes += sizeof(word);
	}
	word = 0;
	memcpy(&word, bytes, len);
	return hash_mix(hash ^ word, UINT64_C(0xd6e8feb86659fd93));
}
