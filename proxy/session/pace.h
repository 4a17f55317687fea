/* How long a client has that sends its message slowly. */
#ifndef PROXY_SESSION_PACE_H
#define PROXY_SESSION_PACE_H

#include <stdint.h>

/* What is left (us) of the time that a client has for a message, of which it
 * had left_us left when the next bytes came in: these buy it as much as they
 * take at rate bytes a second, up to full_us. Who keeps to the rate may be
 * silent for full_us in between; who does not is out of time after a while.
 * rate 0: whatever comes buys all. */
uint64_t session_pace(uint64_t left_us, uint64_t bytes, uint64_t rate,
		      uint64_t full_us);

#endif
