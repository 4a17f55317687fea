#include "backends/local/time_limit.h"

#include <stddef.h>
#include <sys/time.h>

#include "lib/clock.h"

static bool extended;

bool time_limit_start(uint64_t deadline_ms, unsigned seconds)
{
	uint64_t now = clock_now_ms(), left = (uint64_t)seconds * 1000;
	struct itimerval timer = { .it_value = { 0, 0 } };

	extended = false;
	if (deadline_ms <= now)
		return false;
	if (deadline_ms - now < left)
		left = deadline_ms - now;
	timer.it_value.tv_sec = (time_t)(left / 1000);
	timer.it_value.tv_usec = (suseconds_t)(left % 1000 * 1000);
	return setitimer(ITIMER_REAL, &timer, NULL) == 0;
}

void time_limit_extend(unsigned grace_s)
{
	struct itimerval timer;

	if (extended || getitimer(ITIMER_REAL, &timer) < 0)
		return;
	extended = true;
	timer.it_value.tv_sec += (time_t)grace_s;
	setitimer(ITIMER_REAL, &timer, NULL);
}

void time_limit_end(void)
{
	const struct itimerval none = { .it_value = { 0, 0 } };

	setitimer(ITIMER_REAL, &none, NULL);
}

unsigned time_limit_left(void)
{
	struct itimerval timer;

	if (getitimer(ITIMER_REAL, &timer) < 0 || timer.it_value.tv_sec < 2)
		return 1;
	return (unsigned)timer.it_value.tv_sec - 1;
}
