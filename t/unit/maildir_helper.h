/* What tests of saving into Maildirs share. Included by one .c file per program. */
#ifndef MAILDIR_HELPER_H
#define MAILDIR_HELPER_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/local/maildir/maildir.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "t/files.h"

#define OTHER_ID 65534 /* nobody */

static struct files files;
static struct mail_location location;
static struct maildir_settings settings = {
	.fsync = true, .hostname = "host.example"
};
static struct local_result result;
static struct str found; /* by look() */

static inline const char *path_of(const char *name)
{
	return files_path(&files, name);
}

/* keys: what follows maildir:DIR/mail. */
static inline void set_location(const char *keys)
{
	char *value = mem_printf("maildir:%s/mail%s", files.dir, keys);
	struct err err;

	mail_location_free(&location);
	cr_assert_eq(mail_location_parse(&location, value, NULL, &err), 0, "%s",
		     err.text);
	mem_free(&value);
}

static inline void setup(void)
{
	umask(022);
	files_init(&files);
	set_location("");
}

static inline void teardown(void)
{
	mail_location_free(&location);
	str_free(&found);
	files_done(&files);
}

/* From here on the test has no more rights than anybody; gids are the groups it is
 * in beside its own. */
static inline void become(const gid_t *gids, size_t count)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_eq(chown(files.dir, OTHER_ID, OTHER_ID), 0);
	cr_assert_eq(setgroups(count, gids), 0);
	cr_assert_eq(setresgid(OTHER_ID, OTHER_ID, OTHER_ID), 0);
	cr_assert_eq(setresuid(OTHER_ID, OTHER_ID, OTHER_ID), 0);
}

static inline int body_file(const char *body, size_t len)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, body, len), (ssize_t)len);
	return fd;
}

static inline int save_bytes(const char *mailbox, const char *head,
			     const char *body, size_t len)
{
	struct local_mail mail = { head, strlen(head), body_file(body, len), len,
				   { 1700000000, 123456789 }, NULL, NULL, NULL };
	int status;

	memset(&result, 0x55, sizeof(result));
	status = maildir_save(&location, mailbox, &settings, &mail, &result);
	close(mail.fd);
	cr_expect_eq(status, result.status == LOCAL_SAVED ? 0 : -1);
	return status;
}

static inline void save(const char *mailbox)
{
	cr_assert_eq(save_bytes(mailbox, "H: 1\n", "\nbody\n", 6), 0, "%s",
		     result.text);
	cr_expect_str_eq(result.text, "");
	cr_expect_eq(result.error, 0);
}

static inline void refuse(const char *mailbox, enum local_status status)
{
	cr_assert_eq(save_bytes(mailbox, "H: 1\n", "\nbody\n", 6), -1);
	cr_expect_eq(result.status, status, "%d: %s", (int)result.status,
		     result.text);
	cr_expect_str_neq(result.text, "");
}

/* How many entries a directory below the test's own has; found is the path of
 * the last one. */
static inline size_t look(const char *name)
{
	char *path = mem_strdup(path_of(name));
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	cr_assert_not_null(dir, "%s", path);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		str_clear(&found);
		str_printf(&found, "%s/%s", path, entry->d_name);
		count++;
	}
	closedir(dir);
	mem_free(&path);
	return count;
}

static inline mode_t mode_of(const char *path)
{
	struct stat st;

	cr_assert_eq(lstat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

static inline gid_t group_of(const char *path)
{
	struct stat st;

	cr_assert_eq(lstat(path, &st), 0, "%s", path);
	return st.st_gid;
}

static inline void expect_content(const char *path, const char *content)
{
	struct str text = STR_INIT;

	files_read(path, &text);
	cr_expect_str_eq(str_c(&text), content, "%s: %s", path, str_c(&text));
	str_free(&text);
}

#endif
