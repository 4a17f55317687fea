/* What etcd answers, read as everything it may be. */
#include <string.h>

#include "lib/etcd/wire.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void check_kv(const struct etcd_kv *kv)
{
	ASSERT(kv->key.len > 0 && kv->key.data[kv->key.len] == '\0');
	ASSERT(kv->value.data[kv->value.len] == '\0');
	ASSERT(kv->mod_revision >= 0 && kv->lease >= 0);
}

static void check_range(struct arena *arena, const char *text, size_t len)
{
	struct etcd_range range;
	struct err err = { "" };
	size_t i;

	if (etcd_wire_read_range(&range, arena, text, len, &err) < 0) {
		ASSERT(err.text[0] != '\0');
		return;
	}
	for (i = 0; i < range.count; i++)
		check_kv(&range.kvs[i]);
}

static void check_watch(struct arena *arena, const char *text, size_t len)
{
	struct etcd_watch_line line;
	struct err err = { "" };
	size_t i;

	if (etcd_wire_read_watch(&line, arena, text, len, &err) < 0) {
		ASSERT(err.text[0] != '\0');
		return;
	}
	ASSERT(line.error_code == 0 || line.count == 0);
	for (i = 0; i < line.count; i++)
		check_kv(&line.events[i].kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena;
	const char *text = (const char *)data, *token;
	struct etcd_txn_answer txn;
	struct etcd_lease_answer lease;
	struct etcd_failure failure;
	struct err err = { "" };

	if (size == 0 || size > 65536)
		return 0;
	arena = arena_new(256);
	check_range(arena, text, size);
	check_watch(arena, text, size);
	if (etcd_wire_read_txn(&txn, text, size, &err) == 0)
		ASSERT(txn.header.revision >= 0);
	if (etcd_wire_read_lease(&lease, text, size, &err) == 0)
		ASSERT(lease.id > 0 && lease.ttl >= 0);
	token = etcd_wire_read_token(arena, text, size, &err);
	ASSERT(token == NULL || strpbrk(token, "\r\n") == NULL);
	etcd_wire_read_failure(&failure, arena, text, size);
	ASSERT(failure.text != NULL);
	arena_free(&arena);
	return 0;
}
