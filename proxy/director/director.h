/* Which of equal backends a user's mail goes to, when the passdb leaves that
 * open: Dovecot's director. Pure, but for the hosts file that director_new() may
 * read; immutable, and so for all threads. */
#ifndef PROXY_DIRECTOR_DIRECTOR_H
#define PROXY_DIRECTOR_DIRECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/director/servers.h"
#include "backends/director/state.h"
#include "backends/director/users.h"

/* A section director_backend. */
struct director_backend_settings {
	const char *name; /* the section's */
	const char *servers;
	unsigned port;
	int protocol, ssl, starttls; /* see proxy/settings/director.c */
	unsigned weight;
	const char *tag;
	const char *file; /* where it stands */
	unsigned line;
};

enum director_protocol { DIRECTOR_ANY_PROTOCOL, DIRECTOR_LMTP, DIRECTOR_SMTP };
enum director_tls { DIRECTOR_ANY_TLS, DIRECTOR_NO_TLS, DIRECTOR_TLS,
		    DIRECTOR_TLS_ANY_CERT };

struct director_settings {
	const char *mail_servers; /* "": none but those of backends */
	const char *username_hash; /* variables */
	int hash;		   /* enum director_method */
	unsigned user_expire;	   /* ms: 15 min */
	const char *state_file;	   /* "": nothing is kept over a restart */
	const struct director_backend_settings *backends;
	unsigned backend_count;
};

/* Which server, and why. */
struct director_choice {
	const struct director_server *server; /* lives as long as the director */
	const char *method;		      /* as director_hash names it */
	const char *text;		      /* what was hashed */
	uint64_t hash;
	const char *tag; /* "": none */
	uint64_t key;	 /* of the user among those of all tags */
	bool moved;	 /* it is not by the hash: an administrator's word */
	bool stays;	 /* nor that: the user was there */
};

struct director;

/* As director_hash names it. */
const char *director_method_name(const struct director_settings *settings);

/* Whether a user can be written as director_username_hash says. 0, or -1. */
int director_check_format(const char *format, struct err *err);

/* A director of settings. Host names are looked up in the hosts
 * file only. It lives in arena. NULL when servers are malformed, or there are
 * none; *bad_r: the section that err is about, NULL: mail_servers. */
struct director *
director_new(struct arena *arena, const struct director_settings *settings,
	     const struct director_backend_settings **bad_r, struct err *err);

/* The servers of the settings. */
const struct director_servers *
director_configured(const struct director *director);

/* One that works by what is known of the servers now, of which it keeps copies.
 * last: the one before, by which it is made sooner; NULL: none. NULL when this
 * system's crypto policy refuses MD5. */
struct director *director_view(const struct director_settings *settings,
			       const struct director_state *state,
			       const struct director *last, struct err *err);

/* One of a node of a cluster, which works by what the cluster's view says: users
 * stay nowhere after their deliveries. generation is its own; before: the view
 * before, while there may be deliveries by it (NULL: there are none), of which it
 * gets a reference. NULL as director_view(). */
struct director *
director_cluster_view(const struct director_settings *settings,
		      const struct director_state *state, uint64_t generation,
		      struct director *before, const struct director *last,
		      struct err *err);

/* One that knows no server yet: director_choose() says why. */
struct director *director_unknown_view(const struct director_settings *settings,
				       const char *why);

/* Of what director_view() and its like made. From any thread. */
struct director *director_ref(struct director *director);
void director_unref(struct director **director);

/* The server with that id, which the state that it works by has. */
const struct director_server *director_server(const struct director *director,
					      uint32_t id);

/* How many there are: their ids are less. */
unsigned director_server_count(const struct director *director);

/* Of the state that it works by; 0: it is of director_new(). */
uint64_t director_generation(const struct director *director);

/* Chooses a server with that tag ("": without one) for user. Strings live in
 * arena, or as long as tag. Returns 0, or -1 when there is none. */
int director_choose(const struct director *director, struct arena *arena,
		    const char *user, const char *tag,
		    struct director_choice *choice_r, struct err *err);

/* The server that the hash alone names; NULL: none, or none is known. */
const struct director_server *director_hashed(const struct director *director,
					      const char *tag, uint64_t hash);

/* Has the choice be the server with that id, where the user is. */
void director_stay(const struct director *director, uint32_t id,
		   struct director_choice *choice);

/* The server where the user was by the view before, and may still have deliveries
 * somewhere in the cluster, so that others have to wait; NULL: there is none. */
const struct director_server *
director_bars(const struct director *director,
	      const struct director_choice *choice);

/* For director_users_lingering(), arg being the director: whether a user whose
 * deliveries are at a server should be at another. */
bool director_is_elsewhere(const void *arg, uint64_t key, uint64_t hash,
			   const char *tag, uint32_t server);

/* Whether users may stay at the server with that id, which the hash may not name. */
bool director_keeps(const struct director *director, uint32_t id);

/* When users stay where they are, for director_users_enter(). */
struct director_rules director_rules(const struct director *director);

#endif
