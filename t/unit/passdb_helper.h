/* What tests of passdbs share: settings, a loop, one lookup at a time, files
 * and the log. Included by one .c file per program. */
#ifndef PASSDB_HELPER_H
#define PASSDB_HELPER_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "passdb/passdb.h"
#include "t/files.h"

#define HELPER_MAX_BLOCKS 8

struct helper {
	struct passdb_settings settings;
	struct passdb_block blocks[HELPER_MAX_BLOCKS];
	struct passdb_block userdb_blocks[HELPER_MAX_BLOCKS];
	struct loop *loop;
	struct passdb_shared *shared;
	struct passdb *passdb;
	struct arena *arena;
	struct passdb_client client;
	struct log_ctx log;
	struct passdb_request request;
	bool done;
	struct files files;
	const char *dir;
	char log_path[128];
	char log_text[65536];
};

/* Dovecot's defaults and no block. */
static inline void helper_init(struct helper *helper)
{
	struct log_settings log = {
		.info_path = "", .debug_path = "", .timestamp = "",
		.syslog_facility = "mail", .prefix = "", .debug = true,
	};
	struct err err;

	*helper = (struct helper){
		.settings = {
			.blocks = helper->blocks,
			.userdb_blocks = helper->userdb_blocks,
			.username_chars = "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@",
			.username_translation = "", .username_format = "%Lu",
			.default_realm = "", .proxy_self = "",
			.hostname = "mx.example.com",
			.lookup_timeout_ms = 60000, .debug = true,
		},
	};
	files_init(&helper->files);
	helper->dir = helper->files.dir;
	snprintf(helper->log_path, sizeof(helper->log_path), "%s/log",
		 helper->dir);
	log.path = helper->log_path;
	cr_assert_eq(log_open(&log, &err), 0, "%s", err.text);
	helper->settings.tree = conf_tree_new();
	helper->loop = loop_new();
	helper->arena = arena_new(1024);
}

static inline struct passdb_block helper_block(const char *driver,
					       const char *args, unsigned line)
{
	return (struct passdb_block){
		.driver = driver, .args = args, .name = "",
		.default_fields = "", .override_fields = "",
		.mechanisms = "", .username_filter = "",
		.result_success = PASSDB_RETURN_OK,
		.result_failure = PASSDB_CONTINUE,
		.result_internalfail = PASSDB_CONTINUE,
		.file = "test.conf", .line = line,
	};
}

static inline struct passdb_block *
helper_add(struct helper *helper, const char *driver, const char *args)
{
	struct passdb_block *block =
		&helper->blocks[helper->settings.count++];

	*block = helper_block(driver, args, helper->settings.count);
	return block;
}

static inline struct passdb_block *
helper_add_userdb(struct helper *helper, const char *driver, const char *args)
{
	struct passdb_block *block =
		&helper->userdb_blocks[helper->settings.userdb_count++];

	*block = helper_block(driver, args, helper->settings.userdb_count);
	return block;
}

static inline void helper_open(struct helper *helper)
{
	struct err err;

	helper->shared = passdb_shared_new(helper->loop, &helper->settings,
					   &err);
	cr_assert_not_null(helper->shared, "%s", err.text);
	helper->passdb = passdb_new(helper->loop, NULL, helper->shared);
}

/* The configuration must not work; returns why (valid until the next). */
static inline const char *helper_open_fails(struct helper *helper)
{
	static struct err err;

	helper->shared = passdb_shared_new(helper->loop, &helper->settings,
					   &err);
	cr_assert_null(helper->shared);
	return err.text;
}

static inline void helper_done(struct passdb_request *request)
{
	struct helper *helper =
		container_of(request, struct helper, request);

	cr_assert(!helper->done, "done twice");
	helper->done = true;
	loop_stop(helper->loop);
}

static inline void helper_start(struct helper *helper, const char *user)
{
	helper->request.arena = helper->arena;
	helper->request.user = user;
	helper->request.client = &helper->client;
	helper->request.log = &helper->log;
	helper->request.done = helper_done;
	helper->done = false;
	passdb_lookup(helper->passdb, &helper->request);
	cr_assert(!helper->done, "done inside passdb_lookup()");
}

static inline enum passdb_result helper_lookup(struct helper *helper,
					       const char *user)
{
	helper_start(helper, user);
	loop_run(helper->loop);
	cr_assert(helper->done);
	cr_assert_null(helper->request.passdb);
	return helper->request.result;
}

/* The fields as "key=value key=value". */
static inline const char *helper_fields(struct helper *helper)
{
	static char text[4096];
	unsigned i;

	text[0] = '\0';
	for (i = 0; i < helper->request.fields.count; i++) {
		const struct passdb_field *field =
			&helper->request.fields.list[i];
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s=%s",
			 i > 0 ? " " : "", field->key, field->value);
	}
	return text;
}

/* The user is found, with these fields. */
static inline void helper_expect_fields(struct helper *helper, const char *user,
					const char *fields)
{
	cr_expect_eq(helper_lookup(helper, user), PASSDB_OK, "%s", user);
	cr_expect_str_eq(helper_fields(helper), fields, "%s: %s", user,
			 helper_fields(helper));
}

static inline void helper_stop(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* Lets the loop run for a while: only for what happens by the clock. */
static inline void helper_run_ms(struct helper *helper, uint64_t ms)
{
	struct loop_timer timer;

	loop_timer_open(&timer, helper->loop, helper_stop);
	loop_timer_set(&timer, ms);
	loop_run(helper->loop);
	loop_timer_close(&timer);
}

/* In the arena. */
static inline const char *helper_path(struct helper *helper, const char *name)
{
	return arena_printf(helper->arena, "%s/%s", helper->dir, name);
}

/* Replaces a file as an admin should: by rename(). */
static inline void helper_write(struct helper *helper, const char *name,
				const char *text)
{
	const char *temp = helper_path(helper, ".new"), *path;
	FILE *file;

	path = helper_path(helper, name);
	file = fopen(temp, "w");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(rename(temp, path), 0);
}

/* Everything logged so far. */
static inline const char *helper_log(struct helper *helper)
{
	ssize_t len;
	int fd;

	log_flush();
	fd = open(helper->log_path, O_RDONLY);
	cr_assert_geq(fd, 0);
	len = read(fd, helper->log_text, sizeof(helper->log_text) - 1);
	cr_assert_geq(len, 0);
	helper->log_text[len] = '\0';
	close(fd);
	return helper->log_text;
}

static inline unsigned helper_log_count(struct helper *helper,
					const char *text)
{
	const char *log = helper_log(helper);
	unsigned count = 0;

	while ((log = strstr(log, text)) != NULL) {
		count++;
		log += strlen(text);
	}
	return count;
}

static inline void helper_remove(struct helper *helper, const char *name)
{
	cr_assert_eq(unlink(helper_path(helper, name)), 0);
}

static inline void helper_close(struct helper *helper)
{
	passdb_free(&helper->passdb);
	passdb_shared_unref(&helper->shared);
	loop_free(&helper->loop);
	arena_free(&helper->arena);
	conf_tree_free(&helper->settings.tree);
	log_close();
	files_done(&helper->files);
}

#endif
