/* The health of the director's servers: has them probed, and says what follows
 * for the state. On the control loop. */
#ifndef PROXY_DIRECTOR_CARE_H
#define PROXY_DIRECTOR_CARE_H

#include "backends/director/notes.h"
#include "backends/director/prober.h"
#include "backends/director/state.h"
#include "proxy/settings/settings.h"
#include "proxy/tls_set.h"

struct director_care;

/* Looks after the backends of state, which it sets the health of (unless others
 * have a say in it), and then calls changed(arg), from the loop. How deliveries
 * come to them is in notes. All outlive it. */
struct director_care *director_care_new(struct loop *loop, const char *hostname,
					struct director_state *state,
					struct director_notes *notes,
					bool others_too,
					void (*changed)(void *arg), void *arg);

/* When others have a say: how to tell that what they say of a backend that was dead
 * for this process is not known. */
void director_care_set_doubts(struct director_care *care,
			      bool (*doubts)(void *arg, uint32_t id));

/* Ends all probes. Clears the pointer; NULL is fine. */
void director_care_free(struct director_care **care);

/* The backends of the state, or the settings, may be others than before. Probed
 * are those whose port is known: by a section director_backend, or from a delivery
 * to them. What is not probed is well. */
void director_care_set(struct director_care *care,
		       const struct settings *settings, struct tls_set *tls);

/* There is no director: nobody is probed until director_care_set(). The settings
 * of the last one are still there. */
void director_care_rest(struct director_care *care);

/* Sets what follows from the health of all: shares, and whom to trust though
 * sick; and when others have a say, whom this process finds dead that they do not,
 * or doubts, in its notes: deliveries there would only wait in vain, or meet others'
 * elsewhere. As elsewhere, if they are too many the trouble may be ours, and they are
 * tried. Before each view. */
void director_care_judge(struct director_care *care);

/* What probes and deliveries have found of the backend; NULL: it is not probed.
 * Valid until the next call. */
const struct director_health *
director_care_health(const struct director_care *care, uint32_t id);

/* A delivery says something of a backend. */
void director_care_signal(struct director_care *care, uint32_t id,
			  enum director_signal signal, const char *text);

#endif
