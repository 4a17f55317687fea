#include "lib/etcd/wire.h"

#include "lib/digest.h"
#include "lib/json_write.h"

static void put_bytes(struct json_writer *json, const char *name,
		      const void *data, size_t len)
{
	struct str text = STR_INIT;

	digest_put_base64(&text, data, len);
	json_write_text(json, name, str_c(&text));
	str_free(&text);
}

/* Numbers of 64 bits are strings. */
static void put_int(struct json_writer *json, const char *name, int64_t number)
{
	struct str text = STR_INIT;

	str_printf(&text, "%lld", (long long)number);
	json_write_text(json, name, str_c(&text));
	str_free(&text);
}

/* Where keys with that prefix end: at the prefix whose last byte is one more;
 * "\0" stands for no end. */
static void put_prefix_end(struct json_writer *json, struct etcd_bytes prefix)
{
	struct str end = STR_INIT;

	str_append(&end, prefix.data, prefix.len);
	while (end.len > 0 && (unsigned char)end.data[end.len - 1] == 0xff)
		str_truncate(&end, end.len - 1);
	if (end.len > 0)
		end.data[end.len - 1]++;
	else
		str_putc(&end, '\0');
	put_bytes(json, "range_end", end.data, end.len);
	str_free(&end);
}

/* "\0" is the first key there can be. */
static void put_prefix(struct json_writer *json, struct etcd_bytes prefix)
{
	if (prefix.len > 0)
		put_bytes(json, "key", prefix.data, prefix.len);
	else
		put_bytes(json, "key", "", 1);
	put_prefix_end(json, prefix);
}

void etcd_wire_put_range(struct str *out, struct etcd_bytes prefix,
			 struct etcd_bytes after, int64_t limit,
			 int64_t revision)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	if (after.len > 0) {
		struct str key = STR_INIT;

		/* The next possible one. */
		str_append(&key, after.data, after.len);
		str_putc(&key, '\0');
		put_bytes(&json, "key", key.data, key.len);
		str_free(&key);
		put_prefix_end(&json, prefix);
	} else {
		put_prefix(&json, prefix);
	}
	if (limit > 0)
		put_int(&json, "limit", limit);
	if (revision > 0)
		put_int(&json, "revision", revision);
	json_close_object(&json);
}

void etcd_wire_put_newer(struct str *out, struct etcd_bytes prefix,
			 int64_t revision)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	put_prefix(&json, prefix);
	put_int(&json, "limit", 1);
	json_write_bool(&json, "keys_only", true);
	put_int(&json, "min_mod_revision", revision + 1);
	json_close_object(&json);
}

void etcd_wire_put_watch(struct str *out, struct etcd_bytes prefix,
			 int64_t start)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	json_open_object(&json, "create_request");
	put_prefix(&json, prefix);
	put_int(&json, "start_revision", start);
	json_close_object(&json);
	json_close_object(&json);
}

static void put_compare(struct json_writer *json,
			const struct etcd_compare *compare)
{
	static const struct {
		const char *target, *member;
	} targets[] = {
		[ETCD_COMPARE_VERSION] = { "VERSION", "version" },
		[ETCD_COMPARE_CREATE] = { "CREATE", "create_revision" },
		[ETCD_COMPARE_MOD] = { "MOD", "mod_revision" },
	};

	json_open_object(json, NULL);
	put_bytes(json, "key", compare->key.data, compare->key.len);
	json_write_text(json, "target", targets[compare->target].target);
	json_write_text(json, "result", "EQUAL");
	put_int(json, targets[compare->target].member, compare->number);
	json_close_object(json);
}

static void put_op(struct json_writer *json, const struct etcd_op *op)
{
	json_open_object(json, NULL);
	json_open_object(json, op->delete ? "request_delete_range" :
			 "request_put");
	put_bytes(json, "key", op->key.data, op->key.len);
	if (!op->delete)
		put_bytes(json, "value", op->value.data, op->value.len);
	if (!op->delete && op->lease != 0)
		put_int(json, "lease", op->lease);
	json_close_object(json);
	json_close_object(json);
}

static int check_txn(const struct etcd_txn *txn, struct err *err)
{
	size_t i;

	if (txn->op_count > ETCD_MAX_OPS || txn->compare_count > ETCD_MAX_OPS)
		return err_set(err, "more than %d operations in a transaction",
			       ETCD_MAX_OPS);
	for (i = 0; i < txn->compare_count; i++) {
		if (txn->compares[i].key.len == 0)
			return err_set(err, "a comparison without a key");
	}
	for (i = 0; i < txn->op_count; i++) {
		if (txn->ops[i].key.len == 0)
			return err_set(err, "an operation without a key");
	}
	return 0;
}

int etcd_wire_put_txn(struct str *out, const struct etcd_txn *txn,
		      struct err *err)
{
	struct json_writer json = { .out = out };
	size_t i;

	if (check_txn(txn, err) < 0)
		return -1;
	json_open_object(&json, NULL);
	json_open_array(&json, "compare");
	for (i = 0; i < txn->compare_count; i++)
		put_compare(&json, &txn->compares[i]);
	json_close_array(&json);
	json_open_array(&json, "success");
	for (i = 0; i < txn->op_count; i++)
		put_op(&json, &txn->ops[i]);
	json_close_array(&json);
	json_close_object(&json);
	return 0;
}

void etcd_wire_put_grant(struct str *out, unsigned ttl_s)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	put_int(&json, "TTL", ttl_s);
	json_close_object(&json);
}

void etcd_wire_put_lease(struct str *out, int64_t lease)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	put_int(&json, "ID", lease);
	json_close_object(&json);
}

void etcd_wire_put_login(struct str *out, const char *user,
			 const char *password)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	json_write_text(&json, "name", user);
	json_write_text(&json, "password", password);
	json_close_object(&json);
}
