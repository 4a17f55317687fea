/* The health of a list of backends: probes each of them when it is due, and
 * keeps what is known while the list and the settings change. For one loop, on
 * which all of its functions are called.
 *
 * At most DIRECTOR_PROBER_AT_A_TIME probes are under way; others wait, the one
 * longest due first. With the default timeout of 5 s, 32 of them, and nobody
 * who answers, that is 6 backends a second: with 4096 servers all down it takes
 * 11 minutes to look at each, but those that answer take ms. One backend has
 * one probe at a time. */
#ifndef BACKENDS_DIRECTOR_PROBER_H
#define BACKENDS_DIRECTOR_PROBER_H

#include "backends/director/health.h"
#include "backends/remote/target.h"
#include "lib/loop.h"

enum { DIRECTOR_PROBER_AT_A_TIME = 32 };

struct director_prober;

struct director_prober_target {
	const char *name; /* what it is known by, also in later lists */
	struct remote_target target; /* where to probe it; has an address */
};

/* What the owner hears. */
struct director_prober_events {
	/* The backend went up or down. Called from the loop, and not inside a
	 * call of this module; may call anything here. Not when a target is
	 * added, which is up, or taken away, and not when its share changes:
	 * director_health_share_changes() says when. name and health are valid
	 * until the next call of this module. */
	void (*changed)(void *arg, const char *name,
			const struct director_health *health);
};

/* A prober with an empty list. hostname is for LHLO (copied); seed is this
 * node's, and another one than other nodes'. */
struct director_prober *
director_prober_new(struct loop *loop, const char *hostname, uint64_t seed,
		    const struct director_prober_events *events, void *arg);

/* Ends all probes; no callback follows. Clears the pointer, NULL is fine. */
void director_prober_free(struct director_prober **prober);

/* The list and the settings from now on (copied; of TLS contexts it takes
 * references). Names are there once. Who was in the list before, by name, keeps
 * its health, and its probe under way, unless target or settings are others
 * than before: then it is probed anew. With DIRECTOR_PROBE_NO all go up. */
void director_prober_set(struct director_prober *prober,
			 const struct director_health_settings *settings,
			 const struct director_prober_target *targets,
			 unsigned count);

/* A delivery says something of a backend: see director_health_signal(). Nothing
 * happens when name is not in the list. text (escaped; NULL for
 * DIRECTOR_SIGNAL_DELIVERED) is copied. */
void director_prober_signal(struct director_prober *prober, const char *name,
			    enum director_signal signal, const char *text);

/* Notes that a backend went down ago_ms ago, before this program started: the
 * owner knows, and is not told. Nothing happens when name is not in the
 * list. */
void director_prober_restore_down(struct director_prober *prober,
				  const char *name, const char *why,
				  uint64_t ago_ms);

/* The health of a backend; NULL: it is not in the list. Valid until the next
 * call of this module, or pass of the loop. */
const struct director_health *
director_prober_health(const struct director_prober *prober, const char *name);

/* The time that director_health counts in, of the loop. */
uint64_t director_prober_now_ms(const struct director_prober *prober);

#endif
