/* Which of equal backends a user's mail goes to, when the passdb leaves that
 * open: Dovecot's director_mail_servers. Pure, but for the hosts file that
 * director_new() may read; immutable, and so for all threads. */
#ifndef PROXY_DIRECTOR_H
#define PROXY_DIRECTOR_H

#include <stdint.h>

#include "backends/director/servers.h"

struct director_settings {
	const char *mail_servers;  /* "": none, and no director */
	const char *username_hash; /* variables */
	int hash;		   /* enum director_method */
};

/* Which server, and why. */
struct director_choice {
	const struct director_server *server; /* lives as long as the director */
	const char *method;		      /* as director_hash names it */
	const char *text;		      /* what was hashed */
	uint64_t hash;
	const char *tag; /* "": none */
};

struct director;

/* Whether a user can be written as director_username_hash says. 0, or -1. */
int director_check_format(const char *format, struct err *err);

/* A director of settings, which it needs. Host names are looked up in the hosts
 * file only. It lives in arena. NULL when mail_servers is malformed, or names
 * nobody. */
struct director *director_new(struct arena *arena,
			      const struct director_settings *settings,
			      struct err *err);

/* Chooses a server with that tag ("": without one) for user. Strings live in
 * arena, or as long as tag. Returns 0, or -1 when there is none. */
int director_choose(const struct director *director, struct arena *arena,
		    const char *user, const char *tag,
		    struct director_choice *choice_r, struct err *err);

#endif
