#include "passdb/passwd/table.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define MAX_REPORTS 20 /* log lines about one reading */
#define AHEAD 16       /* lines parsed before they are inserted */
#define LARGE (1 << 20) /* bytes of a file that are worth giving back */

/* A place in the index: open addressing, linear probing. */
struct slot {
	uint32_t offset; /* of the line */
	uint32_t tag;	 /* upper bits of the hash, and flags; 0: empty */
};

enum { SLOT_USED = 1, SLOT_BROKEN = 2, SLOT_FLAGS = 3 };

struct passwd_table {
	atomic_uint refs;
	char *data;
	size_t size;
	uint64_t seed;
	struct slot *slots;
	size_t mask; /* slots - 1 */
	unsigned count;
};

/* --- lines --- */

/* Cuts the next field off extra fields: *text and *len move behind it. Returns
 * false when there is none. */
static bool next_field(const char **text, size_t *len, const char **field_r,
		       size_t *field_len_r)
{
	const char *start = *text, *end = *text + *len, *blank;

	while (start < end && *start == ' ')
		start++;
	blank = memchr(start, ' ', (size_t)(end - start));
	if (blank == NULL)
		blank = end;
	*field_r = start;
	*field_len_r = (size_t)(blank - start);
	*text = blank;
	*len = (size_t)(end - blank);
	return blank > start;
}

/* What stands behind the shell. Nothing when that starts with another colon:
 * then it is an old file, where a mail location follows. */
static struct passwd_part line_extra(const char *line, const char *end)
{
	const struct passwd_part nothing = { "", 0 };
	unsigned colons;

	for (colons = 0; colons < 7; colons++) {
		line = memchr(line, ':', (size_t)(end - line));
		if (line == NULL)
			return nothing;
		line++;
	}
	if (line < end && *line == ':')
		return nothing;
	return (struct passwd_part){ line, (size_t)(end - line) };
}

/* Cuts the next part off: what stands before a colon, or before end. False: the
 * line is over. */
static bool next_part(const char **line, const char *end,
		      struct passwd_part *part_r)
{
	const char *start = *line, *colon;

	*part_r = (struct passwd_part){ "", 0 };
	if (start == NULL)
		return false;
	colon = memchr(start, ':', (size_t)(end - start));
	part_r->text = start;
	part_r->len = (size_t)((colon != NULL ? colon : end) - start);
	*line = colon != NULL ? colon + 1 : NULL;
	return true;
}

void passwd_entry_user(const struct passwd_entry *entry,
		       struct passwd_user *user_r)
{
	const char *line = entry->line.text, *end = line + entry->line.len;
	struct passwd_part other;

	next_part(&line, end, &other); /* user */
	next_part(&line, end, &other); /* password */
	next_part(&line, end, &user_r->uid);
	user_r->is_user = next_part(&line, end, &user_r->gid);
	next_part(&line, end, &other); /* gecos */
	next_part(&line, end, &user_r->home);
	next_part(&line, end, &other); /* shell */
	next_part(&line, end, &other); /* nothing in old files, or extra */
	user_r->mail = (struct passwd_part){ "", 0 };
	if (other.len > 0 || line == NULL || line == end || *line == ':')
		return;
	user_r->mail.text = line;
	line = memchr(line, ' ', (size_t)(end - line));
	user_r->mail.len = (size_t)((line != NULL ? line : end) -
				    user_r->mail.text);
}

/* The end of the line at data, without its line break. */
static const char *line_end(const char *line, const char *data_end,
			    const char **next_r)
{
	const char *end = memchr(line, '\n', (size_t)(data_end - line));

	*next_r = end != NULL ? end + 1 : data_end;
	if (end == NULL)
		end = data_end;
	if (end > line && end[-1] == '\r')
		end--;
	return end;
}

/* --- reading a table --- */

/* One line, parsed and not inserted yet. */
struct pending {
	const char *line;
	size_t user_len;
	uint64_t hash;
	unsigned number;
	bool broken;
};

struct builder {
	struct passwd_table *table;
	const char *path;
	const struct var_source *vars;
	struct str checked; /* the last value whose variables were right */
	struct pending ahead[AHEAD];
	unsigned pending; /* lines taken in so far */
	unsigned reports;
};

/* Whether one more problem is worth a log line of its own. */
static bool builder_report(struct builder *build)
{
	return build->reports++ < MAX_REPORTS;
}

static int check_value(struct builder *build, const char *value, size_t len,
		       struct err *err)
{
	struct str *checked = &build->checked;

	if (memchr(value, '%', len) == NULL ||
	    (checked->len == len && memcmp(checked->data, value, len) == 0))
		return 0;
	str_clear(checked);
	str_append(checked, value, len);
	if (var_check(str_c(checked), build->vars, err) == 0)
		return 0;
	str_clear(checked);
	return -1;
}

static int check_key(const char *key, size_t len, struct err *err)
{
	size_t i;

	if (len == 0)
		return err_set(err, "an extra field has no name");
	for (i = 0; i < len; i++) {
		if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
			return err_set(err, "control character in the name of "
				       "an extra field");
	}
	return 0;
}

static int check_extra(struct builder *build, const char *line,
		       const char *end, struct err *err)
{
	struct passwd_part extra = line_extra(line, end);
	const char *field, *equals;
	size_t field_len, key_len;

	while (next_field(&extra.text, &extra.len, &field, &field_len)) {
		equals = memchr(field, '=', field_len);
		key_len = equals ? (size_t)(equals - field) : field_len;
		if (check_key(field, key_len, err) < 0)
			return -1;
		if (equals != NULL &&
		    check_value(build, equals + 1, field_len - key_len - 1,
				err) < 0)
			return -1;
	}
	return 0;
}

static int check_line(struct builder *build, const struct pending *entry,
		      const char *end, struct err *err)
{
	if (memchr(entry->line, '\0', (size_t)(end - entry->line)) != NULL)
		return err_set(err, "NUL byte");
	if (entry->line + entry->user_len == end)
		return err_set(err, "no ':' behind the user");
	return check_extra(build, entry->line, end, err);
}

static unsigned line_number(const struct passwd_table *table, size_t offset)
{
	const char *data = table->data, *end = data + offset;
	unsigned number = 1;

	while ((data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
		data++;
		number++;
	}
	return number;
}

/* Whether the line at offset is that of user. */
static bool line_is(const struct passwd_table *table, size_t offset,
		    const char *user, size_t len)
{
	const char *line = table->data + offset;
	size_t room = table->size - offset;

	return room >= len && memcmp(line, user, len) == 0 &&
	       (room == len || line[len] == ':' || line[len] == '\r' ||
		line[len] == '\n');
}

/* The slot of a user, or the empty one where it belongs. */
static struct slot *table_slot(const struct passwd_table *table,
			       uint64_t hash, const char *user, size_t len)
{
	uint32_t tag = (uint32_t)(hash >> 32) & ~(uint32_t)SLOT_FLAGS;
	size_t i;

	for (i = hash & table->mask;; i = (i + 1) & table->mask) {
		struct slot *slot = &table->slots[i];

		if (slot->tag == 0 ||
		    ((slot->tag & ~(uint32_t)SLOT_FLAGS) == tag &&
		     line_is(table, slot->offset, user, len)))
			return slot;
	}
}

static void builder_insert(struct builder *build, const struct pending *entry)
{
	struct passwd_table *table = build->table;
	struct slot *slot = table_slot(table, entry->hash, entry->line,
				       entry->user_len);

	if (slot->tag != 0) {
		if (builder_report(build))
			log_error(NULL, "%s:%u: user %.*s is already in line "
				  "%u, which counts", build->path,
				  entry->number, (int)entry->user_len,
				  entry->line,
				  line_number(table, slot->offset));
		return;
	}
	slot->offset = (uint32_t)(entry->line - table->data);
	slot->tag = ((uint32_t)(entry->hash >> 32) & ~(uint32_t)SLOT_FLAGS) |
		    SLOT_USED | (entry->broken ? SLOT_BROKEN : 0);
	table->count++;
}

/* Takes a line in. The slots of a large file are not in the CPU's caches, so
 * they are asked for some lines before they are written. */
static void builder_add(struct builder *build, const char *line,
			const char *end, unsigned number)
{
	struct pending *entry = &build->ahead[build->pending % AHEAD];
	const char *colon = memchr(line, ':', (size_t)(end - line));
	struct err err;

	if (build->pending >= AHEAD)
		builder_insert(build, entry);
	build->pending++;
	entry->line = line;
	entry->user_len = (size_t)((colon != NULL ? colon : end) - line);
	entry->number = number;
	entry->hash = hash_bytes(build->table->seed, line, entry->user_len);
	__builtin_prefetch(
		&build->table->slots[entry->hash & build->table->mask], 1);
	entry->broken = check_line(build, entry, end, &err) < 0;
	if (entry->broken && builder_report(build))
		log_error(NULL, "%s:%u: user %.*s: %s", build->path, number,
			  (int)entry->user_len, line, err.text);
}

static void builder_finish(struct builder *build)
{
	unsigned i = build->pending > AHEAD ? build->pending - AHEAD : 0;

	for (; i < build->pending; i++)
		builder_insert(build, &build->ahead[i % AHEAD]);
	if (build->reports > MAX_REPORTS)
		log_error(NULL, "%s: %u more lines are broken or name a user "
			  "again", build->path, build->reports - MAX_REPORTS);
	str_free(&build->checked);
}

/* At most three quarters full. */
static void table_make_slots(struct passwd_table *table)
{
	size_t need = (size_t)line_number(table, table->size) / 3 * 4 + 4;
	size_t size = 8;

	while (size < need)
		size *= 2;
	table->slots = mem_alloc(size * sizeof(*table->slots));
	table->mask = size - 1;
}

struct passwd_table *passwd_table_new(const char *path, char *data,
				      size_t size,
				      const struct var_source *vars)
{
	struct passwd_table *table = mem_new(struct passwd_table);
	struct builder build = { .table = table, .path = path, .vars = vars };
	const char *line = data, *end = data + size, *next;
	unsigned number;

	atomic_init(&table->refs, 1);
	table->data = data;
	table->size = size;
	table->seed = hash_seed();
	table_make_slots(table);
	for (number = 1; line < end; line = next, number++) {
		const char *stop = line_end(line, end, &next);

		if (stop > line && *line != ':' && *line != '#')
			builder_add(&build, line, stop, number);
	}
	builder_finish(&build);
	return table;
}

struct passwd_table *passwd_table_ref(struct passwd_table *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
	return table;
}

void passwd_table_unref(struct passwd_table **table_p)
{
	struct passwd_table *table = *table_p;
	bool large;

	*table_p = NULL;
	if (table == NULL ||
	    atomic_fetch_sub_explicit(&table->refs, 1,
				      memory_order_acq_rel) > 1)
		return;
	large = table->size >= LARGE;
	mem_free(&table->slots);
	mem_free(&table->data);
	mem_release(table);
	/* malloc() keeps an index that was freed before for the next one, while
	 * that is already there. */
	if (large)
		malloc_trim(0);
}

unsigned passwd_table_count(const struct passwd_table *table)
{
	return table->count;
}

bool passwd_table_find(const struct passwd_table *table, const char *user,
		       size_t len, struct passwd_entry *entry_r)
{
	const struct slot *slot;
	const char *line, *end, *next;

	if (len == 0 || user[0] == '#' || memchr(user, ':', len) != NULL ||
	    memchr(user, '\n', len) != NULL)
		return false;
	slot = table_slot(table, hash_bytes(table->seed, user, len), user, len);
	if (slot->tag == 0)
		return false;
	entry_r->broken = (slot->tag & SLOT_BROKEN) != 0;
	if (entry_r->broken)
		return true;
	line = table->data + slot->offset;
	end = line_end(line, table->data + table->size, &next);
	entry_r->line = (struct passwd_part){ line, (size_t)(end - line) };
	entry_r->extra = line_extra(line, end);
	entry_r->unfinished = end == table->data + table->size;
	return true;
}
