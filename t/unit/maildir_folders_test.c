#include "backends/local/maildir/folders.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "t/unit/maildir_tree_helper.h"

#define MAX_FOUND 64

struct found {
	const char *dir;
	unsigned count;
	char *lines[MAX_FOUND]; /* "name path-below-dir" */
};

static void setup(void)
{
	files_init(&files);
	locate(files.dir, "");
}

TestSuite(maildir_folders, .init = setup, .fini = teardown);

static int add(void *context, const char *path, const char *name,
	       struct err *unused)
{
	struct found *found = context;

	(void)unused;
	cr_assert_lt(found->count, MAX_FOUND);
	cr_assert_eq(strncmp(path, found->dir, strlen(found->dir)), 0);
	found->lines[found->count++] = mem_printf("%s %s", name,
						  path + strlen(found->dir));
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void expect(const char *want)
{
	struct found found = { .dir = files.dir };
	struct str got = STR_INIT;
	unsigned i;

	cr_assert_eq(maildir_folders(&tree, add, &found, &err), 0, "%s", err.text);
	qsort(found.lines, found.count, sizeof(char *), compare);
	for (i = 0; i < found.count; i++) {
		str_printf(&got, "%s\n", found.lines[i]);
		mem_free(&found.lines[i]);
	}
	cr_expect_str_eq(str_c(&got), want);
	str_free(&got);
}

static void make(const char *name)
{
	char keep[128];

	snprintf(keep, sizeof(keep), "%s/x", name);
	files_write(&files, keep, "");
}

/* Which of them there are is what Dovecot 2.3.19 counts for a quota. */
Test(maildir_folders, maildirpp)
{
	make("cur");
	make("new");
	make(".Trash/cur");
	make(".A.B/new");
	make(".A..B/new");
	make(".Gel&APY-scht");
	make(".a&b/cur");
	make(".x\xff/cur");
	make(".INBOX/cur");
	make(".INBOX.x/cur");
	make(".inbox/cur");
	make(".Inbox.y/cur");
	make(".InboxNot/cur");
	make("..x");
	make("plain/cur");
	files_write(&files, ".file", "");
	expect("A..B /.A..B\nA.B /.A.B\nGel\xc3\xb6scht /.Gel&APY-scht\n"
		      "INBOX \nINBOX.x /.INBOX.x\nInboxNot /.InboxNot\n"
		      "Trash /.Trash\n");
}

Test(maildir_folders, separator_and_prefix)
{
	make(".Trash/cur");
	make(".A.B/new");
	tree.naming.separator = '/';
	tree.naming.prefix = "INBOX/";
	expect("INBOX \nINBOX/A/B /.A.B\nINBOX/Trash /.Trash\n");
}

Test(maildir_folders, names_in_utf8)
{
	locate(files.dir, ":UTF-8");
	make(".Gel&APY-scht");
	make(".Gel\xc3\xb6scht");
	make(".x\xff");
	expect("Gel&APY-scht /.Gel&APY-scht\n"
		      "Gel\xc3\xb6scht /.Gel\xc3\xb6scht\nINBOX \n");
}

Test(maildir_folders, nested)
{
	char rest[128];

	snprintf(rest, sizeof(rest), ":LAYOUT=fs:INBOX=%s/I", files.dir);
	locate(files.dir, rest);
	make("A/B/cur");
	make("A/new/C");
	make(".hidden/.too/cur");
	make("INBOX/cur");
	make("INBOX/x/cur");
	make("Inbox/y/cur");
	make("tmp/x");
	expect(".hidden /.hidden\n.hidden/.too /.hidden/.too\nA /A\n"
		      "A/B /A/B\nINBOX /I\nINBOX/x /INBOX/x\n");
	tree.naming.separator = '.';
	tree.naming.prefix = "P.";
	expect("INBOX /I\nP..hidden /.hidden\nP..hidden..too "
		      "/.hidden/.too\nP.A /A\nP.A.B /A/B\n"
		      "P.INBOX.x /INBOX/x\nP.Inbox /Inbox\n"
		      "P.Inbox.y /Inbox/y\n");
}

Test(maildir_folders, links_in_a_circle_end)
{
	struct found found = { .dir = files.dir };

	locate(files.dir, ":LAYOUT=fs");
	make("A/cur");
	cr_assert_eq(symlink("..", files_path(&files, "A/up")), 0);
	cr_expect_eq(maildir_folders(&tree, add, &found, &err), 0);
	cr_expect_eq(found.count, 33);
	while (found.count-- > 0)
		mem_free(&found.lines[found.count]);
}

static int pass(void *context, const char *path, const char *name,
		struct err *unused)
{
	(void)context;
	(void)path;
	(void)name;
	(void)unused;
	return 0;
}

Test(maildir_folders, circles_of_circles_are_refused)
{
	locate(files.dir, ":LAYOUT=fs");
	cr_assert_eq(symlink(".", files_path(&files, "a")), 0);
	cr_assert_eq(symlink(".", files_path(&files, "b")), 0);
	cr_expect_eq(maildir_folders(&tree, pass, NULL, &err), -1);
	cr_expect(strstr(err.text, "has more than 100000 folders") != NULL, "%s",
		  err.text);
}

Test(maildir_folders, nothing_there)
{
	locate(files_path(&files, "gone"), "");
	expect("INBOX /gone\n");
}

static int refuse(void *context, const char *path, const char *name,
		  struct err *why)
{
	unsigned *left = context;

	(void)path;
	return (*left)-- > 0 ? 0 : err_set(why, "no %s", name);
}

Test(maildir_folders, ends_when_told)
{
	unsigned left = 1;

	make(".A/cur");
	cr_expect_eq(maildir_folders(&tree, refuse, &left, &err), -1);
	cr_expect_str_eq(err.text, "no A");
}

Test(maildir_folders, names)
{
	static const struct {
		const char *name, *want; /* NULL: it is none */
	} rows[] = {
		{ "", "" },
		{ "Trash", "Trash" },
		{ "A&-B", "A&B" },
		{ "&-", "&" },
		{ "Gel&APY-scht", "Gel\xc3\xb6scht" },
		{ "Entw&APw-rfe", "Entw\xc3\xbcrfe" },
		{ "&ZeVnLIqe-", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		  "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" },
		{ "&2D3eAA-", "\xf0\x9f\x98\x80" },
		{ "&", NULL }, { "a&APY", NULL }, { "&AP-", NULL },
		{ "&APYx-", NULL }, { "&APZ-", NULL }, { "&A!Y-", NULL },
		{ "&2D0-", NULL }, { "&3gA-", NULL }, { "&2D3YPQ-", NULL },
		{ "&AAA-", NULL }, { "x&APY-&x", NULL }, { "\xc3\xb6", NULL },
	};
	struct str out = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int want = rows[i].want != NULL ? 0 : -1;

		str_clear(&out);
		cr_expect_eq(maildir_folder_name(rows[i].name, &out), want, "%s",
			     rows[i].name);
		if (want == 0)
			cr_expect_str_eq(str_c(&out), rows[i].want);
	}
	str_free(&out);
}
