/* Whether one backend works, as far as we can tell: what probes of it and real
 * deliveries to it say, and when to probe it next. Nothing here is what an
 * administrator wants of it. No I/O; times are in ms of a clock that does not
 * go back.
 *
 * The rules:
 *
 * - A backend is up until it is proven otherwise.
 * - Only a failed probe takes it down: when director_probe_fall failures in a
 *   row are together. A probe that succeeds ends the row.
 * - A delivery that could not connect, or was told 421, is one failure of the
 *   row, but not the last one, and only the first since the last probe counts:
 *   a burst of deliveries that meet a restart is no more proof than one. The
 *   next delivery that succeeds takes that back. A delivery that timed out
 *   does not count, since it may have been the message. Each brings the next
 *   probe forward.
 * - Only probes bring it back: director_probe_rise successes in a row. A
 *   delivery that succeeds while it is down brings the next probe forward.
 * - Probes come every director_probe_interval; four times as often while there
 *   is doubt (up, with a failure; down, with a success); never sooner after the
 *   last one than that. While it is down and each probe fails, the time between
 *   two of them doubles, up to director_probe_max_interval.
 * - Each of these times is shortened by up to a quarter, by a hash of the
 *   node's seed, so that nodes that start together do not probe together.
 * - A backend that was down and is up again takes its share in steps, over
 *   director_slow_start.
 * - With director_probe = no every backend is up: nothing could bring it back. */
#ifndef BACKENDS_DIRECTOR_HEALTH_H
#define BACKENDS_DIRECTOR_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* How far a probe goes; each does what those before it do. */
enum director_probe_level {
	DIRECTOR_PROBE_NO,
	DIRECTOR_PROBE_TCP,
	DIRECTOR_PROBE_GREETING, /* behind TLS, if it is TLS from the start */
	DIRECTOR_PROBE_LHLO,	 /* with STARTTLS, if that is wanted */
	DIRECTOR_PROBE_RCPT,
};

/* Times in ms. */
struct director_health_settings {
	int probe; /* enum director_probe_level */
	const char *probe_user;	     /* for DIRECTOR_PROBE_RCPT */
	unsigned probe_interval;     /* not 0 */
	unsigned probe_timeout;	     /* not 0 */
	unsigned probe_rise, probe_fall; /* not 0 */
	unsigned probe_max_interval; /* less than probe_interval: that */
	unsigned slow_start;	     /* 0: all of the share at once */
	unsigned panic_threshold;    /* percent */
};

/* What a delivery says of its backend. */
enum director_signal {
	DIRECTOR_SIGNAL_DELIVERED, /* the backend answered for a message */
	DIRECTOR_SIGNAL_CONNECT,   /* no connection, TLS, greeting or LHLO */
	DIRECTOR_SIGNAL_CLOSING,   /* 421, or lost while something was owed */
	DIRECTOR_SIGNAL_TIMEOUT,   /* no answer to a command or a message */
};

struct director_health {
	/* to be read: */
	bool up;
	uint64_t since_ms; /* when that began */
	char why[256];	   /* one line for people: the reason of up or down;
			      escaped when the given texts were */
	char last[256];	   /* of the last failure, if there are failures */
	unsigned successes; /* of probes, in a row */
	unsigned failures;  /* in a row, with those of deliveries */
	uint64_t next_probe_ms;
	uint64_t last_probe_ms; /* when it was over; 0: none yet */

	/* the module's own: */
	uint64_t hash;	   /* of the seed and the name */
	unsigned probes;   /* so far */
	unsigned doublings;
	bool suspected;	   /* by a delivery, since the last probe */
	bool returned;	   /* was down before */
};

/* A backend of that name that is up, and for long enough. seed is the node's.
 * The first probe comes within director_probe_interval. */
void director_health_init(struct director_health *health,
			  const struct director_health_settings *settings,
			  uint64_t seed, const char *name, uint64_t now_ms);

/* After director_health_init(): the backend was down before this program
 * started, for that reason. It is probed soon. */
void director_health_restore_down(
	struct director_health *health,
	const struct director_health_settings *settings, uint64_t since_ms,
	const char *why, uint64_t now_ms);

/* A probe is over: error is NULL when it succeeded, or says why not. Sets when
 * the next one is due. Whether it went up or down by it. */
bool director_health_probed(struct director_health *health,
			    const struct director_health_settings *settings,
			    const char *error, uint64_t now_ms);

/* A delivery says something; text says what, if that is bad (else it may be
 * NULL). May bring the next probe forward; it goes neither up nor down. */
void director_health_signal(struct director_health *health,
			    const struct director_health_settings *settings,
			    enum director_signal signal, const char *text,
			    uint64_t now_ms);

/* Brings the next probe forward, as a delivery does. */
void director_health_hurry(struct director_health *health,
			   const struct director_health_settings *settings,
			   uint64_t now_ms);

/* The settings may be others than before: how soon to probe, and that all are
 * up when there are no probes. Whether it went up by it. */
bool director_health_adapt(struct director_health *health,
			   const struct director_health_settings *settings,
			   uint64_t now_ms);

/* Percent of its weight that the backend is to have now: 0 while it is down;
 * after its return 10, and 10 more after each ninth of director_slow_start, so
 * that a map made of it changes nine times and not all the time; else 100.
 * Never 0 while it is up, since it may be the only one. */
unsigned director_health_share(const struct director_health *health,
			       const struct director_health_settings *settings,
			       uint64_t now_ms);

/* When that is going to change, if nothing happens; 0: not at all. */
uint64_t
director_health_share_changes(const struct director_health *health,
			      const struct director_health_settings *settings,
			      uint64_t now_ms);

/* Whether down of count backends (those of one tag that the administrator wants
 * up) are too many to be down on health alone. Then the trouble is more likely
 * ours, or everywhere, and the others could not bear the load: all count are
 * to be treated as up. director_panic_threshold of 100: never; 0: as soon as
 * one is down. */
bool director_health_panic(const struct director_health_settings *settings,
			   unsigned count, unsigned down);

#endif
