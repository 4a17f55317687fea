/* Dovecot's % variables: "%u", "%Ln", "%{domain_first}", "%2.26Hu",
 * "%{if;%s;eq;lmtp;a;b}", "%{sha256;rounds=10:user}".
 *
 * %[<offset>.]<width><modifiers><variable>. Modifiers are applied from left to
 * right: L lower case, U upper case, E escape quotes and backslashes, X decimal
 * to hexadecimal, R reverse, H old hash and N new hash (both take the width as
 * modulus and the offset as digits), M MD5, D "." to ",dc=", T trim trailing
 * blanks; then offset and width cut (a negative one counts from the end) or, when
 * the width starts with 0, pad on the left with zeros.
 *
 * Known everywhere: %% (and a % at the very end, which yields nothing),
 * %{pid}, %{uid}, %{gid}, %{hostname}, %{env:NAME}, %{if;…} and the hashes
 * %{md5:…}, sha1, sha256, sha384, sha512, sha3-256, sha3-512, pkcs5, each with
 * ;rounds=N,truncate=BITS,format=hex|hexuc|base64,salt=… (what follows salt is not
 * read). */
#ifndef PASSDB_VAR_VAR_H
#define PASSDB_VAR_VAR_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/str.h"

struct var_source;

/* One variable. A table ends with a zeroed entry. */
struct var_entry {
	char key;	   /* 'u' for %u; 0: none */
	const char *name;  /* "user" for %{user}; NULL: none */
	const char *value; /* NULL: ask var_source.value */
	int id;		   /* for var_source.value */
};

/* One function, %{name:arg}. A table ends with a zeroed entry. */
struct var_func {
	const char *name;
	/* Appends the value for arg; -1 when there is none. */
	int (*append)(const struct var_source *source, const char *arg,
		      struct str *out, struct err *err);
};

/* What a text is expanded with. */
struct var_source {
	const struct var_entry *table;
	const struct var_func *funcs; /* NULL: none */
	/* Appends the value of entry, which has none of its own; NULL: such
	 * entries are empty. */
	void (*value)(const struct var_source *source,
		      const struct var_entry *entry, struct str *out);
	/* Rewrites what a variable (after its modifiers) put behind the first
	 * from bytes of out for where the text is used, or refuses it with -1
	 * (which var_expand() reports as VAR_REFUSED); NULL: as it is. */
	int (*escape)(struct str *out, size_t from, struct err *err);
	const char *hostname; /* NULL: "" */
	const void *context;
	/* Where names are looked for that are not here (escape and hostname
	 * are of no account there); NULL: nowhere. */
	const struct var_source *next;
};

enum { VAR_REFUSED = -2 };

/* Appends text with its variables expanded. Returns 0; -1 when one of them is
 * unknown or has no value; VAR_REFUSED when var_source.escape does not take
 * one. After a failure out holds a part. */
int var_expand(struct str *out, const char *text,
	       const struct var_source *source, struct err *err);

/* Whether text can be expanded as far as that shows without values: syntax and
 * names. 0, or -1. */
int var_check(const char *text, const struct var_source *source,
	      struct err *err);

/* The same; appends the text with most variables empty, to check more. */
int var_sample(struct str *out, const char *text,
	       const struct var_source *source, struct err *err);
/* Behind the variable (or %%) that text starts with at its %. NULL and err when
 * it does not end. */
const char *var_skip(const char *text, struct err *err);

/* Whether text holds a variable (or %%). */
bool var_used(const char *text);

#endif
