/* The answers of lib/etcd/wire.h. */
#include <errno.h>
#include <stdlib.h>

#include "lib/digits.h"
#include "lib/etcd/wire.h"
#include "lib/json.h"

/* --- members; those that are not there are zero --- */

/* Without what strtoull() takes beside digits. */
static int parse_number(const char *text, uint64_t *number_r)
{
	char *end;

	if (text[strspn(text, "0123456789")] != '\0' || *text == '\0')
		return -1;
	errno = 0;
	*number_r = strtoull(text, &end, 10);
	return errno == 0 ? 0 : -1;
}

static int read_unsigned(const struct json *object, const char *name,
			 uint64_t *number_r, struct err *err)
{
	const struct json *value = json_member(object, name);
	struct str text = STR_INIT;
	int result = -1;

	*number_r = 0;
	if (value == NULL)
		return 0;
	if (json_kind(value) == JSON_KIND_STRING)
		str_puts(&text, json_text(value));
	else if (json_kind(value) == JSON_KIND_NUMBER)
		json_put_number(&text, value);
	result = parse_number(str_c(&text), number_r);
	str_free(&text);
	return result == 0 ? 0 : err_set(err, "%s is no number", name);
}

/* etcd has no negative ones. */
static int read_int(const struct json *object, const char *name,
		    int64_t *number_r, struct err *err)
{
	uint64_t number;

	*number_r = 0;
	if (read_unsigned(object, name, &number, err) < 0)
		return -1;
	if (number > INT64_MAX)
		return err_set(err, "%s is too large", name);
	*number_r = (int64_t)number;
	return 0;
}

static bool read_bool(const struct json *object, const char *name)
{
	return json_kind(json_member(object, name)) == JSON_KIND_TRUE;
}

static const char *read_text(const struct json *object, const char *name,
			     struct arena *arena)
{
	const char *text = json_text(json_member(object, name));

	return text != NULL ? arena_strdup(arena, text) : "";
}

/* Four characters to up to three bytes; how many there are, or -1. */
static int decode_quad(const char *quad, char *bytes)
{
	int value, used = quad[3] != '=' ? 4 : quad[2] != '=' ? 3 : 2, i;
	unsigned bits = 0;

	for (i = 0; i < 4; i++) {
		value = i < used ? base64_digit(quad[i]) : 0;
		if (value < 0)
			return -1;
		bits = bits << 6 | (unsigned)value;
	}
	bytes[0] = (char)(bits >> 16 & 0xff);
	bytes[1] = (char)(bits >> 8 & 0xff);
	bytes[2] = (char)(bits & 0xff);
	return used - 1;
}

static int read_bytes(const struct json *object, const char *name,
		      struct arena *arena, struct etcd_bytes *bytes,
		      struct err *err)
{
	const struct json *value = json_member(object, name);
	const char *text = value != NULL ? json_text(value) : "";
	size_t len = text != NULL ? strlen(text) : 1, i;
	char *data;
	int got;

	*bytes = (struct etcd_bytes){ "", 0 };
	if (len % 4 != 0)
		return err_set(err, "%s is not in base64", name);
	data = arena_alloc(arena, len / 4 * 3 + 1);
	for (i = 0; i < len; i += 4) {
		got = decode_quad(text + i, data + bytes->len);
		if (got < 0 || (got < 3 && i + 4 < len))
			return err_set(err, "%s is not in base64", name);
		bytes->len += (size_t)got;
	}
	data[bytes->len] = '\0';
	bytes->data = data;
	return 0;
}

static int read_header(const struct json *object, struct etcd_header *header,
		       struct err *err)
{
	const struct json *from = json_member(object, "header");

	if (json_kind(from) != JSON_KIND_OBJECT)
		return err_set(err, "the answer has no header");
	if (read_unsigned(from, "cluster_id", &header->cluster_id, err) < 0 ||
	    read_unsigned(from, "member_id", &header->member_id, err) < 0 ||
	    read_unsigned(from, "raft_term", &header->raft_term, err) < 0)
		return -1;
	return read_int(from, "revision", &header->revision, err);
}

static int read_kv(const struct json *object, struct arena *arena,
		   struct etcd_kv *kv, struct err *err)
{
	if (read_bytes(object, "key", arena, &kv->key, err) < 0 ||
	    read_bytes(object, "value", arena, &kv->value, err) < 0 ||
	    read_int(object, "create_revision", &kv->create_revision,
		     err) < 0 ||
	    read_int(object, "mod_revision", &kv->mod_revision, err) < 0 ||
	    read_int(object, "version", &kv->version, err) < 0 ||
	    read_int(object, "lease", &kv->lease, err) < 0)
		return -1;
	return kv->key.len > 0 ? 0 : err_set(err, "a key is missing");
}

/* --- answers --- */

static int read_range(const struct json *root, struct etcd_range *range,
		      struct arena *arena, struct err *err)
{
	const struct json *kvs = json_member(root, "kvs");
	size_t i;

	if (read_header(root, &range->header, err) < 0)
		return -1;
	range->count = json_count(kvs);
	range->kvs = arena_alloc(arena, range->count * sizeof(*range->kvs));
	range->more = read_bool(root, "more");
	if (read_int(root, "count", &range->total, err) < 0)
		return -1;
	for (i = 0; i < range->count; i++) {
		if (read_kv(json_item(kvs, i), arena, &range->kvs[i], err) < 0)
			return -1;
	}
	return 0;
}

int etcd_wire_read_range(struct etcd_range *range, struct arena *arena,
			 const char *body, size_t len, struct err *err)
{
	struct json *root = json_parse(body, len, err);
	int result;

	*range = (struct etcd_range){ .count = 0 };
	if (root == NULL)
		return -1;
	result = read_range(root, range, arena, err);
	json_close(&root);
	return result;
}

int etcd_wire_read_txn(struct etcd_txn_answer *answer, const char *body,
		       size_t len, struct err *err)
{
	struct json *root = json_parse(body, len, err);
	int result;

	*answer = (struct etcd_txn_answer){ .succeeded = false };
	if (root == NULL)
		return -1;
	result = read_header(root, &answer->header, err);
	answer->succeeded = result == 0 && read_bool(root, "succeeded");
	json_close(&root);
	return result;
}

/* That of keepalive is one of a stream. */
int etcd_wire_read_lease(struct etcd_lease_answer *answer, const char *body,
			 size_t len, struct err *err)
{
	struct json *root = json_parse(body, len, err);
	const struct json *from = json_member(root, "result");
	int result = 0;

	*answer = (struct etcd_lease_answer){ .id = 0 };
	if (root == NULL)
		return -1;
	if (from == NULL)
		from = root;
	if (read_header(from, &answer->header, err) < 0 ||
	    read_int(from, "ID", &answer->id, err) < 0 ||
	    read_int(from, "TTL", &answer->ttl, err) < 0)
		result = -1;
	else if (answer->id == 0)
		result = err_set(err, "the answer has no lease");
	json_close(&root);
	return result;
}

const char *etcd_wire_read_token(struct arena *arena, const char *body,
				 size_t len, struct err *err)
{
	struct json *root = json_parse(body, len, err);
	const char *token = json_text(json_member(root, "token"));

	if (token != NULL && *token != '\0' &&
	    token[strcspn(token, "\r\n")] == '\0')
		token = arena_strdup(arena, token);
	else
		token = NULL;
	if (root != NULL && token == NULL)
		err_put(err, "the answer has no token");
	json_close(&root);
	return token;
}

static int read_event(const struct json *object, struct etcd_event *event,
		      struct arena *arena, struct err *err)
{
	const char *type = json_text(json_member(object, "type"));

	event->delete = type != NULL && strcmp(type, "DELETE") == 0;
	if (type != NULL && !event->delete && strcmp(type, "PUT") != 0)
		return err_set(err, "an event of unknown type");
	return read_kv(json_member(object, "kv"), arena, &event->kv, err);
}

static int read_result(const struct json *result, struct etcd_watch_line *line,
		       struct arena *arena, struct err *err)
{
	const struct json *events = json_member(result, "events");
	size_t i;

	if (read_header(result, &line->header, err) < 0 ||
	    read_int(result, "compact_revision", &line->compact_revision,
		     err) < 0)
		return -1;
	line->created = read_bool(result, "created");
	line->canceled = read_bool(result, "canceled");
	line->reason = read_text(result, "cancel_reason", arena);
	line->count = json_count(events);
	line->events = arena_alloc(arena, line->count * sizeof(*line->events));
	for (i = 0; i < line->count; i++) {
		if (read_event(json_item(events, i), &line->events[i], arena,
			       err) < 0)
			return -1;
	}
	return 0;
}

static int read_error(const struct json *error, struct etcd_watch_line *line,
		      struct arena *arena, struct err *err)
{
	line->error = read_text(error, "message", arena);
	if (read_int(error, "grpc_code", &line->error_code, err) < 0)
		return -1;
	if (line->error_code == 0)
		return err_set(err, "an error without a code");
	return 0;
}

int etcd_wire_read_watch(struct etcd_watch_line *line, struct arena *arena,
			 const char *text, size_t len, struct err *err)
{
	struct json *root = json_parse(text, len, err);
	const struct json *error = json_member(root, "error");
	int result;

	*line = (struct etcd_watch_line){ .reason = "", .error = "" };
	if (root == NULL)
		return -1;
	if (error != NULL)
		result = read_error(error, line, arena, err);
	else
		result = read_result(json_member(root, "result"), line, arena,
				     err);
	json_close(&root);
	return result;
}

void etcd_wire_read_failure(struct etcd_failure *failure, struct arena *arena,
			    const char *body, size_t len)
{
	struct err err = { "" };
	struct json *root = json_parse(body, len, &err);

	failure->text = read_text(root, "message", arena);
	if (read_int(root, "code", &failure->code, &err) < 0)
		failure->code = 0;
	json_close(&root);
}

const char *etcd_wire_distrust(struct etcd_header *seen,
			       const struct etcd_header *now)
{
	if (seen->cluster_id != 0 && now->cluster_id != seen->cluster_id)
		return "it belongs to another cluster";
	if (now->raft_term < seen->raft_term)
		return "it is behind the cluster: its raft term went back";
	*seen = *now;
	return NULL;
}
