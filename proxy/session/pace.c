#include "proxy/session/pace.h"

#define US_PER_S 1000000

uint64_t session_pace(uint64_t left_us, uint64_t bytes, uint64_t rate,
		      uint64_t full_us)
{
	/* Before anything can overflow. */
	if (rate == 0 || bytes / rate > full_us / US_PER_S)
		return full_us;
	left_us += bytes / rate * US_PER_S + bytes % rate * US_PER_S / rate;
	return left_us < full_us ? left_us : full_us;
}
