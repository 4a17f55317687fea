#include "passdb/passwd/watch.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "passdb/passwd/read.h"

#define CHECK_MS 1000
#define BUCKETS 1024
/* A file of a variable path that is gone means that its users are: but not
 * while someone replaces it without rename(). Seconds. */
#define MISSING_MAX 10

/* One file. */
struct watched {
	struct list node; /* in its bucket */
	char *path;
	struct passwd_table *table; /* NULL: it could not be read yet */
	bool young;		    /* there may be more to come than is in table */
	bool empty;		    /* that is why there is no table */
	unsigned used;		    /* the check before its last use */

	/* only the control loop's: */
	struct passwd_stamp stamp;
	unsigned missing; /* checks that have not found it, in a row */
	char *complaint;  /* what was logged last; NULL: all is well */
};

struct passwd_watch {
	unsigned refs; /* only the control loop's */
	bool eager; /* read also what has only just changed */
	struct loop_timer timer;
	struct var_source vars;
	struct watched *only; /* the file, if its path is fixed; else NULL */
	pthread_mutex_t lock; /* guards the lists; of files table, young, empty, used */
	struct list buckets[BUCKETS];
	unsigned count;
	unsigned checks;
};

static struct list *watch_bucket(struct passwd_watch *watch, const char *path)
{
	unsigned hash = 5381;

	while (*path != '\0')
		hash = hash * 33 + (unsigned char)*path++;
	return &watch->buckets[hash % BUCKETS];
}

static struct watched *watch_find(struct passwd_watch *watch, const char *path)
{
	struct list *bucket, *node, *tmp;

	if (watch->only != NULL)
		return watch->only;
	bucket = watch_bucket(watch, path);
	list_each(bucket, node, tmp) {
		struct watched *file =
			container_of(node, struct watched, node);

		if (strcmp(file->path, path) == 0)
			return file;
	}
	return NULL;
}

enum passwd_watch_result passwd_watch_get(struct passwd_watch *watch,
					  const char *path,
					  struct passwd_table **table_r)
{
	enum passwd_watch_result result = PASSWD_WATCH_UNKNOWN;
	struct watched *file;

	pthread_mutex_lock(&watch->lock);
	file = watch_find(watch, path);
	if (file != NULL && file->table != NULL) {
		*table_r = passwd_table_ref(file->table);
		file->used = watch->checks;
		result = file->young ? PASSWD_WATCH_YOUNG : PASSWD_WATCH_OK;
	} else if (file != NULL) {
		result = file->empty ? PASSWD_WATCH_EMPTY : PASSWD_WATCH_FAILED;
	}
	pthread_mutex_unlock(&watch->lock);
	return result;
}

/* --- the control loop's part --- */

/* Takes file off the lists and frees it. */
static void watch_drop(struct passwd_watch *watch, struct watched *file)
{
	pthread_mutex_lock(&watch->lock);
	list_remove(&file->node);
	watch->count--;
	pthread_mutex_unlock(&watch->lock);
	passwd_table_unref(&file->table);
	mem_free(&file->complaint);
	mem_free(&file->path);
	mem_release(file);
}

static void watch_drop_oldest(struct passwd_watch *watch)
{
	struct watched *oldest = NULL;
	struct list *node, *tmp;
	unsigned i;

	pthread_mutex_lock(&watch->lock);
	for (i = 0; i < BUCKETS; i++) {
		list_each(&watch->buckets[i], node, tmp) {
			struct watched *file =
				container_of(node, struct watched, node);

			if (oldest == NULL || file->used < oldest->used)
				oldest = file;
		}
	}
	pthread_mutex_unlock(&watch->lock);
	watch_drop(watch, oldest);
}

static struct watched *watch_add(struct passwd_watch *watch, const char *path,
				 struct passwd_table *table,
				 const struct passwd_stamp *stamp)
{
	struct watched *file = mem_new(struct watched);

	if (watch->count >= PASSWD_WATCH_MAX)
		watch_drop_oldest(watch);
	file->path = mem_strdup(path);
	file->table = table;
	file->young = stamp->young;
	file->stamp = *stamp;
	pthread_mutex_lock(&watch->lock);
	file->used = watch->checks;
	list_append(watch_bucket(watch, path), &file->node);
	watch->count++;
	pthread_mutex_unlock(&watch->lock);
	return file;
}

/* Says so once, until it changes. */
static void watched_complain(struct watched *file, const char *text)
{
	if (file->complaint != NULL && strcmp(file->complaint, text) == 0)
		return;
	mem_free(&file->complaint);
	file->complaint = mem_strdup(text);
	log_error(NULL, "passwd-file %s%s", text, file->table == NULL ? "" :
		  "; going on with what was read before");
}

static void watched_replace(struct passwd_watch *watch, struct watched *file,
			    struct passwd_table *table)
{
	struct passwd_table *old;

	pthread_mutex_lock(&watch->lock);
	old = file->table;
	file->table = table;
	file->young = file->stamp.young;
	pthread_mutex_unlock(&watch->lock);
	passwd_table_unref(&old);
	log_info(NULL, "passwd-file %s: read, %u users", file->path,
		 passwd_table_count(table));
	mem_free(&file->complaint);
}

static void watched_fail(struct passwd_watch *watch, struct watched *file,
			 enum passwd_read why, const struct err *err)
{
	watched_complain(file, err->text);
	pthread_mutex_lock(&watch->lock);
	file->empty = why == PASSWD_READ_EMPTY;
	pthread_mutex_unlock(&watch->lock);
}

static void watched_read(struct passwd_watch *watch, struct watched *file)
{
	struct passwd_table *table;
	struct passwd_stamp stamp;
	struct err err;
	enum passwd_read result = passwd_read(file->path, &watch->vars, &table,
					      &stamp, &err);

	if (result == PASSWD_READ_OK) {
		file->stamp = stamp;
		watched_replace(watch, file, table);
	} else if (result != PASSWD_READ_CHANGING) {
		watched_fail(watch, file, result, &err);
	}
}

/* Something that is rewritten in place is empty first, and would bounce mail:
 * so wait until nobody writes to it any more. */
static void watched_reread(struct passwd_watch *watch, struct watched *file,
			   const struct passwd_stamp *stamp)
{
	if (!stamp->young || watch->eager)
		watched_read(watch, file);
}

static void watched_is_back(struct watched *file)
{
	if (file->complaint == NULL)
		return;
	log_info(NULL, "passwd-file %s: is back, unchanged", file->path);
	mem_free(&file->complaint);
}

/* Returns false when the file is to be forgotten. */
static bool watched_check(struct passwd_watch *watch, struct watched *file)
{
	struct passwd_stamp stamp;
	struct stat st;
	struct err err;

	if (stat(file->path, &st) < 0) {
		file->missing += errno == ENOENT;
		err_put(&err, "%s: stat: %s", file->path, strerror(errno));
		watched_complain(file, err.text);
		return watch->only != NULL || file->missing < MISSING_MAX;
	}
	file->missing = 0;
	passwd_stamp_set(&stamp, &st);
	if (file->table == NULL)
		watched_read(watch, file);
	else if (file->stamp.young ||
		 !passwd_stamp_equal(&stamp, &file->stamp))
		watched_reread(watch, file, &stamp);
	else
		watched_is_back(file);
	return true;
}

/* Only this thread changes the lists, so that it may walk them unlocked. */
static void watch_check(struct loop_timer *timer)
{
	struct passwd_watch *watch =
		container_of(timer, struct passwd_watch, timer);
	struct list *node, *tmp;
	unsigned i;

	for (i = 0; i < BUCKETS; i++) {
		list_each(&watch->buckets[i], node, tmp) {
			struct watched *file =
				container_of(node, struct watched, node);

			if (!watched_check(watch, file))
				watch_drop(watch, file);
		}
	}
	pthread_mutex_lock(&watch->lock);
	watch->checks++;
	pthread_mutex_unlock(&watch->lock);
	loop_timer_set(&watch->timer, CHECK_MS);
}

/* Somebody waits for it. */
static void watch_settle(struct passwd_watch *watch, const char *path)
{
	struct watched *file = watch_find(watch, path);
	struct passwd_stamp stamp;
	struct stat st;

	if (file == NULL || !file->young || stat(path, &st) < 0)
		return;
	passwd_stamp_set(&stamp, &st);
	if (!stamp.young)
		watched_read(watch, file);
}

enum passwd_watch_result passwd_watch_load(struct passwd_watch *watch,
					   const char *path,
					   struct passwd_table **table_r)
{
	enum passwd_watch_result result;
	struct passwd_table *table;
	struct passwd_stamp stamp;
	struct err err;

	watch_settle(watch, path);
	result = passwd_watch_get(watch, path, table_r);
	if (result != PASSWD_WATCH_UNKNOWN)
		return result;
	switch (passwd_read(path, &watch->vars, &table, &stamp, &err)) {
	case PASSWD_READ_OK:
		watch_add(watch, path, table, &stamp);
		return passwd_watch_get(watch, path, table_r);
	case PASSWD_READ_MISSING:
		log_info(NULL, "passwd-file %s", err.text);
		return PASSWD_WATCH_MISSING;
	case PASSWD_READ_EMPTY:
		log_error(NULL, "passwd-file %s", err.text);
		return PASSWD_WATCH_EMPTY;
	default:
		log_error(NULL, "passwd-file %s", err.text);
		return PASSWD_WATCH_FAILED;
	}
}

struct passwd_watch *passwd_watch_new(struct loop *control,
				      const char *fixed_path,
				      const struct var_source *vars)
{
	struct passwd_watch *watch = mem_new(struct passwd_watch);
	const struct passwd_stamp never = { .size = -1 };
	unsigned i;

	watch->refs = 1;
	watch->vars = *vars;
	pthread_mutex_init(&watch->lock, NULL);
	for (i = 0; i < BUCKETS; i++)
		list_init(&watch->buckets[i]);
	if (fixed_path != NULL) {
		watch->only = watch_add(watch, fixed_path, NULL, &never);
		watched_read(watch, watch->only);
	}
	loop_timer_open(&watch->timer, control, watch_check);
	loop_timer_set(&watch->timer, CHECK_MS);
	return watch;
}

struct passwd_watch *passwd_watch_ref(struct passwd_watch *watch)
{
	watch->refs++;
	watch->eager = true;
	watch_check(&watch->timer);
	watch->eager = false;
	return watch;
}

void passwd_watch_unref(struct passwd_watch **watch_p)
{
	struct passwd_watch *watch = *watch_p;
	struct list *node, *tmp;
	unsigned i;

	*watch_p = NULL;
	if (watch == NULL || --watch->refs > 0)
		return;
	loop_timer_close(&watch->timer);
	for (i = 0; i < BUCKETS; i++) {
		list_each(&watch->buckets[i], node, tmp)
			watch_drop(watch, container_of(node, struct watched,
						       node));
	}
	pthread_mutex_destroy(&watch->lock);
	mem_release(watch);
}
