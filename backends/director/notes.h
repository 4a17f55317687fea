/* What this process finds out by itself about the director's servers, by their ids:
 * how deliveries come to them, and whether they can be reached from here; and whether it
 * has slept. One table for all threads, without locks. Nothing is noted of servers with ids from
 * DIRECTOR_NOTES on: of these many others were configured before. */
#ifndef BACKENDS_DIRECTOR_NOTES_H
#define BACKENDS_DIRECTOR_NOTES_H

#include "backends/director/servers.h"

enum { DIRECTOR_NOTES = 2 * DIRECTOR_MAX_SERVERS };

struct director_notes;

struct director_notes *director_notes_new(void);

/* Clears the pointer; NULL is fine. */
void director_notes_free(struct director_notes **notes);

/* A delivery goes to the server in this way, of which the port, the protocol and
 * TLS count. Costs no more than a look when the one before went the same way. */
void director_notes_set_way(struct director_notes *notes, uint32_t id,
			    const struct director_way *way);

/* How the last one went, with all said; false: there was none. */
bool director_notes_way(const struct director_notes *notes, uint32_t id,
			struct director_way *way_r);

/* Whether deliveries to the server shall be tried from here. */
enum director_reach {
	DIRECTOR_REACHED,
	DIRECTOR_CUT_OFF, /* no: probes fail */
	DIRECTOR_DOUBTED, /* no: they failed, and the others may have lost it */
};
void director_notes_set_reach(struct director_notes *notes, uint32_t id,
			      enum director_reach reach);
enum director_reach director_notes_reach(const struct director_notes *notes,
					 uint32_t id);

/* Who watches the cluster was awake at now_ms, not 0, and says so again soon; 0: nobody
 * does. */
void director_notes_watch(struct director_notes *notes, uint64_t now_ms);

/* No delivery may begin until this is taken back. */
void director_notes_hold(struct director_notes *notes, bool hold);

/* Whether that is so; or who watches was not awake for longer than this, and will find
 * that out. */
enum { DIRECTOR_SLEEP_MS = 2000 };
bool director_notes_holds(const struct director_notes *notes, uint64_t now_ms);

#endif
