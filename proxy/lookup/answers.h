/* The answer of a RCPT, for other daemons: on the control loop, by the code of
 * waypost -l, which is RCPT's. Connections to user databases and resolver are
 * kept from one lookup to the next. */
#ifndef PROXY_LOOKUP_ANSWERS_H
#define PROXY_LOOKUP_ANSWERS_H

#include "lib/addr.h"
#include "lib/err.h"
#include "proxy/control/control.h"
#include "proxy/lookup/lookup.h"

struct answers;
struct answer_wait;

enum answer_kind {
	ANSWER_REMOTE,
	ANSWER_LOCAL,	 /* not passed on */
	ANSWER_REFUSE,	 /* 5xx */
	ANSWER_TEMPFAIL, /* 4xx */
	ANSWER_KINDS,
};

struct answer {
	enum answer_kind kind;
	struct lookup_result result; /* its reply is there unless REMOTE */
	/* REMOTE: where to connect. len 0: dns_error says why that is not
	 * known. */
	struct addr addr;
	const char *dns_error;
};

/* "remote" and so on. */
const char *answer_kind_name(enum answer_kind kind);

/* How many of that kind there were so far. */
uint64_t answers_count(const struct answers *answers, enum answer_kind kind);

/* env outlives it. */
struct answers *answers_new(const struct control_env *env);

/* Answers what is under way with 421, from inside this call. Clears the
 * pointer; NULL is fine. */
void answers_free(struct answers **answers);

/* Looks user (an address without < and >) up, for a client at ip (NULL: on this
 * machine). done(arg) is called from the loop and not inside this call; the
 * answer is valid until it returns. user and ip are copied. NULL when there are
 * too many lookups, or when ip is none. */
struct answer_wait *answers_ask(struct answers *answers, const char *user,
				const char *ip,
				void (*done)(void *arg,
					     const struct answer *answer),
				void *arg, struct err *err);

/* Forgets it before done() was called; clears the pointer, NULL is fine. */
void answers_cancel(struct answer_wait **wait);

#endif
