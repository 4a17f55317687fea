/* What settings there are: tables of definitions, each the single source for
 * parsing, defaults, dumps and the check of the manual; and binding a tree to
 * structs with them.
 *
 * A module describes its settings with a table over its struct:
 *
 *	static const struct conf_def defs[] = {
 *		CONF_DEF_TIME(struct thing, timeout, "thing_timeout",
 *			      "30 secs", "how long a thing may take"),
 *		CONF_DEF_END
 *	};
 *	const struct conf_table thing_table = { defs, 0 };
 *
 * The macros fail to compile when the field has another type than the
 * definition. */
#ifndef LIB_CONF_SCHEMA_H
#define LIB_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/conf/tree.h"
#include "lib/conf/value.h"

struct conf_def {
	const char *name; /* NULL: end of the table */
	enum conf_type type;
	const struct conf_word *words;
	size_t offset;	   /* of the field */
	const char *value; /* default, as one would write it */
	const char *doc;   /* one line */
	bool secret;	   /* dumps do not show its value */
};

#define CONF_OFFSET(type, field, field_type) \
	_Generic(((type *)NULL)->field, field_type: offsetof(type, field))
#define CONF_DEF(struct_, field, ftype, type_, words_, name_, value_, doc_) \
	{ .name = (name_), .type = (type_), .words = (words_), \
	  .offset = CONF_OFFSET(struct_, field, ftype), .value = (value_), \
	  .doc = (doc_) }
#define CONF_DEF_STRING(s, f, name, value, doc) \
	CONF_DEF(s, f, const char *, CONF_STRING, NULL, name, value, doc)
#define CONF_DEF_SECRET(s, f, name_, value_, doc_) \
	{ .name = (name_), .type = CONF_STRING, .value = (value_), \
	  .offset = CONF_OFFSET(s, f, const char *), .doc = (doc_), \
	  .secret = true }
#define CONF_DEF_BOOL(s, f, name, value, doc) \
	CONF_DEF(s, f, bool, CONF_BOOL, NULL, name, value, doc)
#define CONF_DEF_UINT(s, f, name, value, doc) \
	CONF_DEF(s, f, unsigned, CONF_UINT, NULL, name, value, doc)
#define CONF_DEF_PORT(s, f, name, value, doc) \
	CONF_DEF(s, f, unsigned, CONF_PORT, NULL, name, value, doc)
#define CONF_DEF_TIME(s, f, name, value, doc) \
	CONF_DEF(s, f, unsigned, CONF_TIME, NULL, name, value, doc)
#define CONF_DEF_SIZE(s, f, name, value, doc) \
	CONF_DEF(s, f, uint64_t, CONF_SIZE, NULL, name, value, doc)
#define CONF_DEF_OCTAL(s, f, name, value, doc) \
	CONF_DEF(s, f, unsigned, CONF_OCTAL, NULL, name, value, doc)
#define CONF_DEF_ENUM(s, f, words, name, value, doc) \
	CONF_DEF(s, f, int, CONF_ENUM, words, name, value, doc)
#define CONF_DEF_WORDS(s, f, words, name, value, doc) \
	CONF_DEF(s, f, unsigned, CONF_WORDS, words, name, value, doc)
#define CONF_DEF_END { .name = NULL }

/* The definitions that fill one struct. */
struct conf_table {
	const struct conf_def *defs;
	unsigned flags;
};

enum conf_table_flag {
	/* Fixed for the whole process: may stand in the filter protocol, but
	 * has no effect in local and remote (a warning). */
	CONF_TABLE_GLOBAL = 1 << 0,
};

/* A name that is accepted for the sake of configurations of other versions. */
struct conf_old_name {
	const char *name; /* NULL: end of the list */
	const char *text; /* for the warning: "has been removed" */
};

/* What may stand in a kind of section. Lists end with NULL; a list that is
 * NULL is empty. */
struct conf_schema {
	const char *key;  /* the section's type; NULL at the top */
	const char *name; /* only the section of that name; NULL: any */
	unsigned flags;
	const struct conf_table *const *tables;
	const struct conf_schema *const *sections; /* the first that fits */
	const char *const *others; /* settings accepted without effect */
	/* whether a name that is in no table has an effect nevertheless, and any text
	 * for a value; NULL: none has */
	bool (*has_effect)(const char *name);
	const struct conf_old_name *old;
	/* at the top: what holds before the first line, as text, such as a
	 * listener that exists by default */
	const char *builtin;
	/* at the top: files that settings name are not read where only other
	 * protocols see them; NULL: all are read */
	const char *protocol;
	/* at the top: whether a setting, or section, may not stand in local,
	 * local_name and remote; NULL: none of which that is an error */
	bool (*is_general)(const char *key);
};

enum conf_schema_flag {
	CONF_ANY_SETTING = 1 << 0, /* every name is accepted, without effect */
	CONF_REPEATS = 1 << 1,	   /* each section is one of its own, even with
				      the same name; else they merge */
	CONF_EXISTS = 1 << 2,	   /* being there is enough to mean something */
	CONF_IN_PROTOCOL = 1 << 3, /* may stand in the filter protocol */
};

/* The definition of a setting that may stand in such a section, or NULL. */
const struct conf_def *conf_schema_def(const struct conf_schema *schema,
				       const char *name);

/* Same, with the table that it is from. */
const struct conf_def *conf_schema_find(const struct conf_schema *schema,
					const char *name,
					const struct conf_table **table_r);

/* Whether a name that is in no table has an effect. */
bool conf_schema_has_more(const struct conf_schema *schema, const char *name);

/* What applies to a section of that type and name; NULL: there is none. */
const struct conf_schema *
conf_schema_section(const struct conf_schema *schema, const char *key,
		    const char *name);

/* Whether a setting of that name is accepted without effect. */
bool conf_schema_is_other(const struct conf_schema *schema, const char *name);

/* Whether key is a filter: protocol, local, local_name or remote. */
bool conf_is_filter(const char *key);

/* Checks names, values, and where filters stand, and reports everything that
 * is wrong: unknown names with the nearest known one. Reads the files of
 * "name = <path" for settings that have a definition. */
void conf_check(const struct conf_schema *top, struct conf_tree *tree,
		struct conf_errors *errors);

/* The name that is most like the wanted one, which may be mistyped; NULL when
 * none is near. names ends with NULL. */
const char *conf_nearest(const char *wanted, const char *const *names);

/* The tree with everything that belongs together in one place: the schema's
 * built-in part first, sections of the same type and name as one (unless they
 * repeat), filters that hold for the same connections as one, wherever they
 * stand, each setting once, with its last value. */
struct conf_tree *conf_merge(const struct conf_schema *top,
			     const struct conf_tree *tree);

/* Sets all fields to their defaults. */
void conf_defaults(const struct conf_table *table, struct arena *arena,
		   void *object);

/* Sets the fields whose settings stand directly in section; values that do
 * not parse (conf_check() said so) are left out. */
void conf_apply(const struct conf_table *table, struct arena *arena,
		const struct conf_node *section, void *object);

/* A block of settings that hold only for some sessions: with all the filters
 * around it. */
struct conf_filter {
	const char *protocol; /* "lmtp" or "!imap"; NULL: any */
	const char *name; /* as local_name has it: names separated by spaces,
			     see tls_name_match(); NULL: any */
	bool has_local, has_remote;
	struct addr_net local, remote;
	const struct conf_node *section;
};

/* All filters of a merged tree, in the order in which they have to be applied,
 * so that those count which count in Dovecot: by local_name (first those
 * without), then the bits of local, then of remote, then a protocol; of equals
 * the first in the text comes last. */
unsigned conf_filters(const struct conf_tree *tree, struct arena *arena,
		      const struct conf_filter **filters_r);

/* Whether settings of filter, which both match a connection, give way to those of
 * another one behind it in the order of conf_filters(). Dovecot asks that of
 * neighbours only, and refuses a setting of filter that is in any of those
 * behind it when the answer is no. */
bool conf_filter_gives_way(const struct conf_filter *filter,
			   const struct conf_filter *next);

/* The section, in the tree below root, of the same filter that holds inside
 * section, which may be of another tree. NULL: there is none. */
struct conf_node *conf_filter_find(struct conf_node *root,
				   const struct conf_node *section);

/* The last setting of that name among all sections of the same filter that
 * holds inside section, or at the top if none does. NULL: there is none. */
const struct conf_node *conf_filter_setting(const struct conf_node *section,
					    const char *name);

/* Whether the filter's protocol is name, or anything. */
bool conf_filter_protocol(const struct conf_filter *filter, const char *name);

#endif
