/* What tests of a Maildir and its folders share. Included by one .c file per program. */
#ifndef MAILDIR_TREE_HELPER_H
#define MAILDIR_TREE_HELPER_H

#include <criterion/criterion.h>

#include "backends/local/maildir/folders.h"
#include "t/files.h"

static struct files files;
static struct mail_location location;
static struct maildir_tree tree;
static struct err err;

/* What of mail_location stands behind the path. */
static inline void locate(const char *path, const char *rest)
{
	struct str value = STR_INIT;

	mail_location_free(&location);
	str_printf(&value, "maildir:%s%s", path, rest);
	cr_assert_eq(mail_location_parse(&location, str_c(&value), NULL, &err), 0,
		     "%s", err.text);
	str_free(&value);
	tree = (struct maildir_tree){ .location = &location };
}

static inline void teardown(void)
{
	mail_location_free(&location);
	files_done(&files);
}

#endif
