/* What this process finds out by itself about the director's servers, by their ids:
 * how deliveries come to them, and whether they can be reached from here. One table
 * for all threads, without locks. Nothing is noted of servers with ids from
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

/* Whether deliveries to the server shall not be tried from here. */
void director_notes_set_cut_off(struct director_notes *notes, uint32_t id,
				bool cut_off);
bool director_notes_cut_off(const struct director_notes *notes, uint32_t id);

#endif
