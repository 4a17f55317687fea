/* How long a delivery may take: then SIGALRM, which has to be at its default, ends the
 * process. One of a process. */
#ifndef BACKENDS_LOCAL_TIME_LIMIT_H
#define BACKENDS_LOCAL_TIME_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* What comes on top once the mail is about to appear, in seconds: until then whoever
 * gives up is right in having it sent again; from then on it would come twice. So
 * whoever waits for the answer has to wait for that, too. */
#define TIME_LIMIT_GRACE_S 10

/* From now on: until deadline_ms (of clock_now_ms()), and no longer than seconds. False:
 * it is too late already. */
bool time_limit_start(uint64_t deadline_ms, unsigned seconds);

/* The mail is about to appear: grace_s seconds more, once. */
void time_limit_extend(unsigned grace_s);

/* There is none any more. */
void time_limit_end(void);

/* Seconds that are left for a program to end before us; at least 1. */
unsigned time_limit_left(void);

#endif
