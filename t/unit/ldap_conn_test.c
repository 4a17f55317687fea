#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "passdb/ldap/conn.h"

struct world {
	struct str out, log;
	struct arena *arena;
	struct ldap_conn *conn;
	bool unwanted, hang_up;
};

static struct arena *on_wants(void *owner, int id)
{
	struct world *world = owner;

	str_printf(&world->log, "wants %d\n", id);
	return world->unwanted ? NULL : world->arena;
}

static void on_entry(void *owner, int id, const struct ldap_entry *entry)
{
	struct world *world = owner;
	unsigned i, j;

	str_printf(&world->log, "entry %d %s", id, entry->dn);
	for (i = 0; i < entry->count && entry->problem == NULL; i++) {
		str_printf(&world->log, " %s", entry->attributes[i].name);
		for (j = 0; entry->attributes[i].values[j] != NULL; j++)
			str_printf(&world->log, "=%s",
				   entry->attributes[i].values[j]);
	}
	if (entry->problem != NULL)
		str_printf(&world->log, " (%s)", entry->problem);
	str_putc(&world->log, '\n');
}

static void on_done(void *owner, int id, const struct ldap_outcome *outcome)
{
	struct world *world = owner;

	str_printf(&world->log, "done %d %d %s|%s\n", id, outcome->verdict,
		   outcome->text, outcome->matched);
	if (world->hang_up)
		ldap_conn_close(world->conn);
}

static const struct ldap_conn_events events = { on_wants, on_entry, on_done };

static void world_open(struct world *world)
{
	static const char *const attributes[] = { "uid", NULL };
	const struct ldap_search_params params = {
		.base = "dc=x", .filter = "(uid=a)", .attributes = attributes,
		.scope = LDAP_SUBTREE, .size_limit = 2, .time_limit_ms = 1500,
	};
	struct err err;

	*world = (struct world){ .arena = arena_new(256) };
	world->conn = ldap_conn_new(0, &world->out, &events, world);
	cr_assert_eq(ldap_conn_search(world->conn, &params, &err), 1);
}

static void world_close(struct world *world)
{
	ldap_conn_free(&world->conn);
	str_free(&world->out);
	str_free(&world->log);
	arena_free(&world->arena);
}

/* Appends a BER element. */
static void put(struct str *out, int tag, const void *data, size_t len)
{
	str_putc(out, (char)tag);
	str_putc(out, (char)0x84);
	str_putc(out, (char)(len >> 24));
	str_putc(out, (char)(len >> 16));
	str_putc(out, (char)(len >> 8));
	str_putc(out, (char)len);
	str_append(out, data, len);
}

static void put_message(struct str *out, int id, int tag,
			const struct str *body)
{
	const char id_byte = (char)id;
	struct str inner = STR_INIT;

	str_append(&inner, "\x02\x01", 2);
	str_append(&inner, &id_byte, 1);
	put(&inner, tag, str_c(body), body->len);
	put(out, 0x30, inner.data, inner.len);
	str_free(&inner);
}

static void put_done(struct str *out, int id, int tag, int code,
		     const char *matched, const char *text)
{
	const char code_byte = (char)code;
	struct str body = STR_INIT;

	put(&body, 0x0a, &code_byte, 1);
	put(&body, 0x04, matched, strlen(matched));
	put(&body, 0x04, text, strlen(text));
	put_message(out, id, tag, &body);
	str_free(&body);
}

static void put_entry(struct str *out, int id, const char *dn,
		      const char *name, const void *value, size_t len)
{
	struct str body = STR_INIT, list = STR_INIT, attribute = STR_INIT;
	struct str all = STR_INIT;

	put(&list, 0x04, value, len);
	put(&list, 0x04, "2nd", 3);
	put(&attribute, 0x04, name, strlen(name));
	put(&attribute, 0x31, list.data, list.len);
	put(&all, 0x30, attribute.data, attribute.len);
	put(&body, 0x04, dn, strlen(dn));
	put(&body, 0x30, all.data, all.len);
	put_message(out, id, 0x64, &body);
	str_free(&list);
	str_free(&attribute);
	str_free(&all);
	str_free(&body);
}

static int input(struct world *world, const struct str *data, struct err *err)
{
	return ldap_conn_input(world->conn, str_c(data), data->len, err);
}

Test(ldap_conn, search)
{
	struct world world;
	struct str data = STR_INIT;
	struct err err = { "" };
	size_t i;

	world_open(&world);
	cr_expect(world.out.len > 0);
	put_entry(&data, 1, "uid=a,dc=x", "uid", "a", 1);
	put_done(&data, 1, 0x65, 0, "", "");
	for (i = 0; i < data.len; i++) /* however it comes */
		cr_assert_eq(ldap_conn_input(world.conn, data.data + i, 1,
					     &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "wants 1\n"
			 "entry 1 uid=a,dc=x uid=a=2nd\n"
			 "done 1 0 Success (0)|\n");
	cr_expect(ldap_conn_is_drained(world.conn));
	str_free(&data);
	world_close(&world);
}

Test(ldap_conn, verdicts)
{
	static const struct {
		int code;
		const char *log;
	} rows[] = {
		{ 32, "done 1 1 No such object (32): hm|dc=m\n" },
		{ 4, "done 1 2 Size limit exceeded (4): hm|dc=m\n" },
		{ 51, "done 1 3 Server is busy (51): hm|dc=m\n" },
		{ 52, "done 1 3 Server is unavailable (52): hm|dc=m\n" },
		{ 50, "done 1 4 Insufficient access (50): hm|dc=m\n" },
		{ 10, "done 1 4 Referral (10): hm|dc=m\n" },
	};
	struct world world;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct str data = STR_INIT;

		world_open(&world);
		put_done(&data, 1, 0x65, rows[i].code, "dc=m", "hm");
		cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
		cr_expect_str_eq(str_c(&world.log), rows[i].log);
		str_free(&data);
		world_close(&world);
	}
}

Test(ldap_conn, entries_that_cannot_be_used)
{
	struct world world;
	struct str data = STR_INIT;
	struct err err = { "" };
	char *large = mem_alloc(1024 * 1024);

	memset(large, 'x', 1024 * 1024);
	world_open(&world);
	put_entry(&data, 1, "dc=a", "uid", "a\0b", 3);
	put_entry(&data, 1, "dc=b", "uid", large, 1024 * 1024);
	put_entry(&data, 1, "", "uid", "", 0);
	cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "wants 1\n"
			 "entry 1 dc=a (the value of uid holds a NUL byte)\n"
			 "wants 1\nentry 1 dc=b (it is too large)\n"
			 "wants 1\nentry 1  uid==2nd\n");
	str_clear(&world.log);
	world.unwanted = true;
	cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "wants 1\nwants 1\nwants 1\n");
	mem_free(&large);
	str_free(&data);
	world_close(&world);
}

/* Answers to what was never asked are not for us. */
Test(ldap_conn, unknown_ids)
{
	struct world world;
	struct str data = STR_INIT;
	struct err err = { "" };

	world_open(&world);
	put_done(&data, 7, 0x65, 0, "", "");
	put_done(&data, 1, 0x65, 0, "", "");
	cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "done 1 0 Success (0)|\n");
	str_free(&data);
	world_close(&world);
}

Test(ldap_conn, nonsense)
{
	static const struct {
		const char *data;
		size_t len;
		const char *error;
	} rows[] = {
		{ "HTTP/1.1", 8, "does not speak LDAP" },
		{ "\x30\x80\x00\x00", 4, "broken message" },
		{ "\x30\x85\x00\x00\x00\x00\x01", 7, "broken message" },
		{ "\x30\x84\x7f\xff\xff\xff", 6, "more than is taken" },
		{ "\x30\x84\x00\x40\x00\x01", 6, "more than is taken" },
		{ "\x30\x00", 2, "broken message" },
		{ "\x30\x05\x02\x01\x01\x65\x00", 7, "broken message" },
		{ "\x30\x05\x02\x01\x01\x65\x7f", 7, "broken message" },
		{ "\x30\x0c\x02\x01\x01\x7f\x07\x0a\x01\x00\x04\x00\x04\x00", 14,
		  "broken message" },
		{ "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", 14,
		  "ends the connection" },
		{ "\x30\x0d\x02\x02\x00\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
		  15, "ends the connection" },
		{ "\x30\x0c\x02\x01\xff\x65\x07\x0a\x01\x00\x04\x00\x04\x00", 14,
		  "broken message" },
		{ "\x30\x10\x02\x05\x00\x00\x00\x00\x01\x65\x07\x0a\x01\x00\x04\x00"
		  "\x04\x00", 18, "broken message" },
		{ "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\xff\x04\x00\x04\x00", 14,
		  "broken message" },
		/* not how a search ends */
		{ "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", 14,
		  "something else" },
		{ "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", 14,
		  "something else" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct world world;
		struct err err = { "" };

		world_open(&world);
		cr_expect_eq(ldap_conn_input(world.conn, rows[i].data,
					     rows[i].len, &err), -1,
			     "row %zu", i);
		cr_expect(strstr(err.text, rows[i].error) != NULL,
			  "row %zu: %s", i, err.text);
		world_close(&world);
	}
}

/* The longest that is taken, as far as its length goes. */
Test(ldap_conn, incomplete)
{
	struct world world;
	struct err err = { "" };

	world_open(&world);
	cr_expect_eq(ldap_conn_input(world.conn, "\x30\x84\x00\x40\x00\x00", 6,
				     &err), 0, "%s", err.text);
	cr_expect(!ldap_conn_is_drained(world.conn));
	world_close(&world);
}

Test(ldap_conn, closed_from_within)
{
	struct world world;
	struct str data = STR_INIT;
	struct err err = { "" };
	size_t before;

	world_open(&world);
	world.hang_up = true;
	put_done(&data, 1, 0x65, 0, "", "");
	put_entry(&data, 1, "dc=a", "uid", "a", 1);
	before = world.out.len;
	cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "done 1 0 Success (0)|\n");
	cr_expect_eq(world.out.len, before + 7); /* good-bye */
	cr_expect_eq(input(&world, &data, &err), 0);
	cr_expect_eq(ldap_conn_start_tls(world.conn, &err), -1);
	cr_expect_eq(world.out.len, before + 7);
	str_free(&data);
	world_close(&world);
}

/* The answer to StartTLS, with and without something behind it. */
Test(ldap_conn, start_tls)
{
	struct world world;
	struct str data = STR_INIT;
	struct err err = { "" };

	world_open(&world);
	str_clear(&world.out);
	cr_expect_eq(ldap_conn_start_tls(world.conn, &err), 2, "%s", err.text);
	cr_expect(memmem(world.out.data, world.out.len,
			 "1.3.6.1.4.1.1466.20037", 22) != NULL);
	put_done(&data, 2, 0x78, 0, "", "");
	str_putc(&data, 0x30);
	cr_expect_eq(input(&world, &data, &err), 0, "%s", err.text);
	cr_expect_str_eq(str_c(&world.log), "done 2 0 Success (0)|\n");
	cr_expect(!ldap_conn_is_drained(world.conn));
	str_free(&data);
	world_close(&world);
}

Test(ldap_conn, binds)
{
	struct world world;
	struct err err = { "" };

	world_open(&world);
	str_clear(&world.out);
	cr_expect_eq(ldap_conn_bind(world.conn, "cn=a", "secret", &err), 2);
	cr_expect(memmem(world.out.data, world.out.len, "secret", 6) != NULL);
	str_clear(&world.out);
	cr_expect_eq(ldap_conn_bind(world.conn, "", "", &err), 3);
	cr_expect_eq(ldap_conn_bind_external(world.conn, "u:x", &err), 4);
	cr_expect(memmem(world.out.data, world.out.len, "EXTERNAL", 8) !=
		  NULL);
	cr_expect(memmem(world.out.data, world.out.len, "u:x", 3) != NULL);
	world_close(&world);
}

/* Each step has an answer of its own. */
Test(ldap_conn, steps)
{
	static const int types[] = { 0x61, 0x65, 0x78 };
	struct world world;
	struct err err = { "" };
	size_t i;
	bool tls;

	for (i = 0; i < 6; i++) {
		struct str data = STR_INIT;

		tls = i >= 3;
		world_open(&world);
		cr_assert_eq(tls ? ldap_conn_start_tls(world.conn, &err) :
			     ldap_conn_bind(world.conn, "", "", &err), 2);
		put_done(&data, 2, types[i % 3], 0, "", "");
		cr_expect_eq(input(&world, &data, &err),
			     i == 0 || i == 5 ? 0 : -1, "%zu", i);
		str_free(&data);
		world_close(&world);
	}
}

Test(ldap_conn, filters)
{
	static const char *const good[] = {
		"(uid=a)", "uid=a", "(&(a=b)(c=*))", "(a=\\2a)", "(|)", "(&)",
		"(uid=)", "(a=b*c)",
	};
	static const char *const bad[] = {
		"", "(uid=x", "()", "(!)", "((uid=x))", "(a=b)(c=d)",
		"(a=\\zz)", ")", "(&(a=b)",
	};
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_expect_eq(ldap_conn_check_filter(good[i], &err), 0, "%s",
			     good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_eq(ldap_conn_check_filter(bad[i], &err), -1, "%s",
			     bad[i]);
	cr_expect_eq(ldap_conn_check_dn("ou=a,dc=b", &err), 0);
	cr_expect_eq(ldap_conn_check_dn("", &err), 0);
	cr_expect_eq(ldap_conn_check_dn("no dn", &err), -1);
}
