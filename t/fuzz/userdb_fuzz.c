/* From what a userdb says to the user that mail is delivered as: a name, and
 * lines "field=value". */
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/shared.h"
#include "passdb/userdb/userdb.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192

/* In place of the C library's: a system that knows one user and no group. */
int getpwnam_r(const char *name, struct passwd *user, char *buffer,
	       size_t size, struct passwd **found)
{
	static char known[] = "known", home[] = "/h";

	(void)buffer;
	(void)size;
	*user = (struct passwd){
		.pw_name = known, .pw_dir = home, .pw_uid = 7, .pw_gid = 8,
	};
	*found = strcmp(name, known) == 0 ? user : NULL;
	return 0;
}

int getgrnam_r(const char *name, struct group *group, char *buffer,
	       size_t size, struct group **found)
{
	(void)name;
	(void)group;
	(void)buffer;
	(void)size;
	*found = NULL;
	return 0;
}

/* What is the same for all inputs. */
static struct loop *loop;
static struct passdb *passdb;

static void setup(void)
{
	static struct passdb_block block = {
		.driver = "prefetch", .args = "", .name = "",
		.default_fields = "", .override_fields = "x=%h|%u|%{userdb:uid}",
		.mechanisms = "", .username_filter = "", .file = "fuzz",
		.result_failure = PASSDB_CONTINUE,
		.result_internalfail = PASSDB_CONTINUE,
	};
	static struct passdb_settings settings = {
		.userdb_blocks = &block, .userdb_count = 1,
		.username_chars = "", .username_translation = "",
		.username_format = "%u", .default_realm = "",
		.proxy_self = "", .hostname = "h", .lookup_timeout_ms = 60000,
	};
	const struct log_settings log = {
		.path = "/dev/null", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	struct passdb_shared *shared;
	struct err err;

	ASSERT(log_open(&log, &err) == 0);
	loop = loop_new();
	shared = passdb_shared_new(loop, &settings, &err);
	ASSERT(shared != NULL);
	passdb = passdb_new(loop, NULL, shared);
}

static void check_path(const char *path)
{
	ASSERT(path == NULL ||
	       (path[0] == '/' && strstr(path, "/../") == NULL));
	ASSERT(path == NULL || strpbrk(path, "\n\r\t\x7f") == NULL);
}

static void check_user(const struct userdb_user *user)
{
	ASSERT(user->name[0] != '\0');
	ASSERT(!user->has_uid || user->uid != (uid_t)-1);
	ASSERT(!user->has_gid || user->gid != (gid_t)-1);
	check_path(user->home);
	check_path(user->chroot);
	ASSERT(user->mail == NULL || strstr(user->mail, "/../") == NULL);
	ASSERT(passdb_fields_get(&user->others, "password") == NULL);
	ASSERT(passdb_fields_get(&user->others, "home") == NULL);
	ASSERT(passdb_fields_get(&user->others, "x") != NULL);
}

static void lookup_done(struct userdb_request *request)
{
	(void)request;
	loop_stop(loop);
}

/* What passdbs have said; text is taken apart. */
static void read_fields(struct passdb_request *pass, char *text)
{
	char *line, *value;

	while ((line = strsep(&text, "\n")) != NULL) {
		value = strchrnul(line, '=');
		if (*value != '\0')
			*value++ = '\0';
		passdb_fields_put(&pass->userdb, pass->arena, line, value,
				  false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct passdb_client client = { .session = "s" };
	struct log_ctx log = { NULL, "fuzz" };
	struct passdb_request pass = { .result = PASSDB_OK };
	struct userdb_request request = {
		.client = &client, .log = &log, .pass = &pass,
		.done = lookup_done,
	};
	char *text;

	if (passdb == NULL)
		setup();
	if (size > MAX_SIZE || memchr(data, '\0', size) != NULL)
		return 0;
	request.arena = pass.arena = arena_new(1024);
	text = arena_strndup(pass.arena, (const char *)data, size);
	request.user = pass.username = strsep(&text, "\n");
	read_fields(&pass, text);
	userdb_lookup(passdb, &request);
	loop_run(loop);
	if (request.result == PASSDB_OK)
		check_user(&request.found);
	arena_free(&request.arena);
	return 0;
}
