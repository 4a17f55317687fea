#include <criterion/criterion.h>

#include "proxy/session/pace.h"

#define S 1000000ULL
#define FULL (300 * S)
#define RATE 500

Test(session_pace, values)
{
	static const struct {
		uint64_t left, bytes, rate, want;
	} rows[] = {
		{ 0, 500, RATE, S },
		{ 10 * S, 0, RATE, 10 * S },
		{ 10 * S, 1, RATE, 10 * S + 2000 },
		{ 10 * S, 1250, RATE, 12 * S + S / 2 },
		{ FULL, 1, RATE, FULL },
		{ FULL - 1, 1, RATE, FULL },
		{ 0, 149999, RATE, 299998000 },
		{ 0, 150000, RATE, FULL },
		{ 0, UINT64_MAX, RATE, FULL },
		{ 0, 1, UINT64_MAX / S, 0 },
		{ 0, 0, 0, FULL },
		{ 5, 1, 0, FULL },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(session_pace(rows[i].left, rows[i].bytes,
					  rows[i].rate, FULL),
			     rows[i].want, "%zu", i);
}

/* Seconds until a client that sends bytes every so many seconds is out of
 * time; 0: it never is. */
static unsigned lasts(uint64_t bytes, unsigned seconds)
{
	uint64_t left = FULL;
	unsigned now;

	for (now = seconds; now < 24 * 3600; now += seconds) {
		if (left <= seconds * S)
			return now;
		left = session_pace(left - seconds * S, bytes, RATE, FULL);
	}
	return 0;
}

Test(session_pace, clients)
{
	cr_expect_eq(lasts(1, 1), 301, "%u", lasts(1, 1));
	cr_expect_eq(lasts(1, 299), 598, "%u", lasts(1, 299));
	cr_expect_eq(lasts(250, 1), 599, "%u", lasts(250, 1));
	cr_expect_eq(lasts(500, 1), 0);
	cr_expect_eq(lasts(150000, 299), 0);
	cr_expect_eq(lasts(UINT32_MAX, 300), 300, "silence is the limit");
}
