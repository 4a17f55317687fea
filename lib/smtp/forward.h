/* XRCPTFORWARD=: the forward_* fields of a passdb, handed on from proxy to
 * backend with RCPT (Dovecot's "forwarding parameters").
 *
 * The value is xtext (RFC 3461 4) of key=value pairs, separated by tabs. In
 * keys and values NUL, 0x01, tab, CR and LF stand as 0x01 followed by 0, 1, t, r
 * and n. Keys go without "forward_" in front. */
#ifndef LIB_SMTP_FORWARD_H
#define LIB_SMTP_FORWARD_H

#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

/* The encoded value; with a path of the longest kind RCPT then still fits the
 * 4 KiB that Dovecot takes of a command. */
#define SMTP_FORWARD_MAX 3072

/* value is NULL for a key without "=". */
struct smtp_forward_field {
	const char *key, *value;
};

struct smtp_forward {
	struct smtp_forward_field *fields;
	size_t count;
};

/* Decodes the parameter's value (struct smtp_rcpt_params' xrcptforward) into
 * arena, keeping the order, and all fields of a key that comes twice. -1, with
 * a text that quotes nothing, when it is no xtext, longer than
 * SMTP_FORWARD_MAX, or holds a NUL, or a field without key. */
int smtp_forward_parse(struct arena *arena, const char *value,
		       struct smtp_forward *forward_r, struct err *err);

/* Appends the encoded value, nothing when there are no fields. -1 when it
 * would be longer than SMTP_FORWARD_MAX, or a key is empty or holds a "=" (the
 * err says which); then nothing is appended. */
int smtp_forward_write(struct str *out, const struct smtp_forward *forward,
		       struct err *err);

#endif
