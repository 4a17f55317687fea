/* What the director knows of its servers beyond the configuration: what
 * administrators want, how healthy they are, how much they should take, and the
 * users who were moved by hand. These are facts of their own: none overwrites
 * another. No I/O; for one thread. */
#ifndef BACKENDS_DIRECTOR_STATE_H
#define BACKENDS_DIRECTOR_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/director/pins.h"
#include "backends/director/servers.h"
#include "lib/err.h"
#include "lib/str.h"

/* What administrators want of a backend. */
enum director_admin {
	DIRECTOR_UP,
	DIRECTOR_DRAIN, /* no new users; those who are there may stay */
	DIRECTOR_DOWN,	/* no deliveries but those under way */
};

struct director_backend {
	/* As configured or added; id is its place in the state. */
	struct director_server server;
	bool configured; /* director_mail_servers has it */
	bool added;	 /* by an administrator */
	bool removed;
	struct director_mark presence; /* added or removed */
	enum director_admin admin;
	struct director_mark admin_mark;
	unsigned weight; /* in place of server.weight, if its mark is set */
	struct director_mark weight_mark;
	bool sick;		     /* down by its health */
	struct director_mark health; /* by: why */
	/* What follows from the health of all, for a view: not kept. */
	unsigned share;		     /* percent of the weight that it gets */
	bool trusted; /* though sick: too many are */
	uint64_t flushed_us;	     /* users since before leave; 0: never */
};

struct director_state {
	struct director_backend *backends;
	unsigned count;
	uint32_t *places; /* ids + 1, hashed by address and tag; NULL: not yet */
	unsigned place_count; /* a power of two; there is room for half as many
				 backends */
	struct director_pins pins;
	uint64_t generation; /* grows with each change */
};

void director_state_init(struct director_state *state);
void director_state_free(struct director_state *state);

/* Has copy, which is not initialized, be the same, with the same ids. */
void director_state_copy(struct director_state *copy,
			 const struct director_state *state);

/* Takes over what the configuration says now. */
void director_state_configure(struct director_state *state,
			      const struct director_servers *servers);

/* The backend with the address and the tag of server, of which it gets a copy,
 * not present yet, when it is new. */
struct director_backend *
director_state_backend(struct director_state *state,
		       const struct director_server *server);

/* The host name that it was found by; NULL: none. */
void director_backend_rename(struct director_backend *backend,
			     const char *name);

/* Whether users may be there at all. */
bool director_backend_present(const struct director_backend *backend);

/* What it should take, whatever its health and the administrators say. */
unsigned director_backend_weight(const struct director_backend *backend);

const char *director_admin_name(enum director_admin admin);

/* 0, or -1 for what is no name. */
int director_admin_parse(const char *name, enum director_admin *admin_r);

/* The backend that text names: "ADDRESS", "NAME", or either with "@TAG", which
 * is needed when there are several. NULL and err when it is not one; those that
 * are not present do not count. */
struct director_backend *
director_state_find(const struct director_state *state, const char *text,
		    struct err *err);

/* The backend that the entry of director_mail_servers names, which is added when
 * it is not there; more than one is an error. NULL and err. */
struct director_backend *director_state_add(struct director_state *state,
					    const char *entry, const char *by,
					    uint64_t now_s, struct err *err);

void director_state_remove(struct director_state *state,
			   struct director_backend *backend, const char *by,
			   uint64_t now_s);
void director_state_set_admin(struct director_state *state,
			      struct director_backend *backend,
			      enum director_admin admin, const char *by,
			      uint64_t now_s);
void director_state_set_weight(struct director_state *state,
			       struct director_backend *backend,
			       unsigned weight, const char *by, uint64_t now_s);
void director_state_set_health(struct director_state *state,
			       struct director_backend *backend, bool sick,
			       const char *why, uint64_t now_s);

/* Has the users leave who came to the backend at now_us or before. */
void director_state_flush(struct director_state *state,
			  struct director_backend *backend, uint64_t now_us);

/* Whether one more user may be moved, or that one again: -1 and err when there are
 * DIRECTOR_MAX_PINS. */
int director_state_may_pin(const struct director_state *state, uint64_t key,
			   struct err *err);

/* Moves a user to a backend until then (0: for good), in place of an earlier
 * move. */
void director_state_pin(struct director_state *state, uint64_t key,
			const char *user, struct director_backend *backend,
			uint64_t until_s, const char *by, uint64_t now_s);

/* Whether there was such a move to forget. */
bool director_state_unpin(struct director_state *state, uint64_t key);

const struct director_pin *
director_state_pin_of(const struct director_state *state, uint64_t key);

/* Forgets moves whose time is over; returns whether there were any. */
bool director_state_expire(struct director_state *state, uint64_t now_s);

/* When the time of the next one is over; 0: never. */
uint64_t director_state_next_expiry(const struct director_state *state);

/* Forgets all that is known of the backends, which stay in their places, and of
 * users. */
void director_state_clear(struct director_state *state);

/* --- as text: backends/director/state_json.c --- */

/* Appends what administrators say of a backend, without its health; nothing when
 * they say nothing. */
void director_state_put_backend(const struct director_backend *backend,
				struct str *out);
void director_state_put_pin(const struct director_state *state,
			    const struct director_pin *pin, struct str *out);

/* Read what these two have written. 0, or -1 with the state half changed. */
int director_state_read_backend(struct director_state *state, const char *text,
				size_t len, struct err *err);
int director_state_read_pin(struct director_state *state, const char *text,
			    size_t len, struct err *err);

/* Appends the state as JSON: all but what the configuration says. */
void director_state_save(const struct director_state *state, struct str *out);

/* Reads what director_state_save() has written into a state that is new.
 * Returns 0, or -1 when text is malformed; the state is to be freed then. */
int director_state_load(struct director_state *state, const char *text,
			size_t len, struct err *err);

#endif
