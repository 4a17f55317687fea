#include "lib/etcd/lease.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "lib/mem.h"
#include "t/etcd_gateway.h"

#define GRANT(id, ttl) "{" ETCD_AT("7") ",\"ID\":\"" id "\",\"TTL\":\"" ttl "\"}"
#define ALIVE(id, ttl) \
	ETCD_LINE(ETCD_AT("7") ",\"ID\":\"" id "\",\"TTL\":\"" ttl "\"")
#define EXPIRED(id) ETCD_LINE(ETCD_AT("7") ",\"ID\":\"" id "\"")

struct told {
	struct etcd_world world;
	struct etcd_lease *lease;
	struct str text;
	uint64_t lost_us;
	unsigned revoked;
	bool frees; /* in its event */
};

static void granted(void *arg, int64_t id)
{
	struct told *told = arg;

	str_printf(&told->text, "granted %lld\n", (long long)id);
	if (told->frees)
		etcd_lease_free(&told->lease);
}

static void lost(void *arg, const char *why)
{
	struct told *told = arg;

	str_printf(&told->text, "lost: %s\n", why);
	told->lost_us = loop_now_us(told->world.loop);
	if (told->frees)
		etcd_lease_free(&told->lease);
}

static void revoked(void *arg)
{
	struct told *told = arg;

	told->revoked++;
	etcd_lease_free(&told->lease);
	etcd_free(&told->world.etcd);
}

static void told_init(struct told *told, unsigned members)
{
	*told = (struct told){ .revoked = 0 };
	etcd_world_init(&told->world, members);
}

static void told_start(struct told *told)
{
	static const struct etcd_lease_events events = { granted, lost };

	etcd_world_start(&told->world);
	told->lease = etcd_lease_new(told->world.etcd, 9, &events, told);
	cr_expect_eq(told->text.len, 0, "called inside etcd_lease_new()");
}

static void told_free(struct told *told)
{
	etcd_lease_free(&told->lease);
	etcd_world_free(&told->world);
	str_free(&told->text);
}

static void reply(struct told *told, unsigned member, const char *path,
		  const char *body)
{
	gateway_reply(&told->world.gateways[member], (struct gateway_reply){
		path, body, GATEWAY_ANSWER, 200 });
}

static void refuse(struct told *told, const char *path, const char *body,
		   unsigned status)
{
	gateway_reply(&told->world.gateways[0], (struct gateway_reply){
		path, body, GATEWAY_TRAILER, status });
}

static bool is_told(const struct told *told, const char *text)
{
	return strcmp(str_c(&told->text), text) == 0;
}

#define WAIT_TOLD(told, text) WAIT(&(told)->world, is_told((told), (text)))

Test(etcd_lease, kept_alive_at_a_third_of_its_time)
{
	struct told told;
	uint64_t begin;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	reply(&told, 0, "lease/keepalive", ALIVE("77", "1"));
	told_start(&told);
	begin = loop_now_us(told.world.loop);
	WAIT_TOLD(&told, "granted 77\n");
	WAIT(&told.world, gateway_count(&told.world.gateways[0],
					"lease/keepalive") == 6);
	cr_expect_geq(loop_now_us(told.world.loop) - begin, 1990000);
	cr_expect(is_told(&told, "granted 77\n"), "%s", str_c(&told.text));
	cr_expect(gateway_saw(&told.world.gateways[0],
			      "lease/grant - {\"TTL\":\"9\"}\n"));
	cr_expect(gateway_saw(&told.world.gateways[0],
			      "lease/keepalive - {\"ID\":\"77\"}\n"));
	told_free(&told);
}

/* 200, and no TTL. */
Test(etcd_lease, keepalive_without_ttl_means_lost)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	reply(&told, 0, "lease/grant", GRANT("78", "60"));
	reply(&told, 0, "lease/keepalive", EXPIRED("77"));
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\nlost: it has run out\ngranted 78\n");
	told_free(&told);
}

Test(etcd_lease, keepalive_of_an_unknown_lease)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	reply(&told, 0, "lease/grant", GRANT("78", "60"));
	refuse(&told, "lease/keepalive",
	       ETCD_ERROR("etcdserver: requested lease not found", "5"), 404);
	told_start(&told);
	WAIT(&told.world, strstr(str_c(&told.text), "granted 78") != NULL);
	cr_expect(strstr(str_c(&told.text), "lease not found\n") != NULL, "%s",
		  str_c(&told.text));
	told_free(&told);
}

/* Whatever etcd may think of it: by our clock it is over. */
Test(etcd_lease, lost_by_the_clock)
{
	struct told told;
	uint64_t begin;

	told_init(&told, 1);
	told.world.settings.timeout_ms = 300;
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	reply(&told, 0, "lease/grant", GRANT("78", "60"));
	told_start(&told);
	begin = loop_now_us(told.world.loop);
	WAIT(&told.world, told.lost_us != 0);
	cr_expect(strstr(str_c(&told.text), "granted 77\n"
			 "lost: it could not be renewed for 1 s\n") != NULL,
		  "%s", str_c(&told.text));
	cr_expect_geq(told.lost_us - begin, 990000);
	cr_expect_lt(told.lost_us - begin, 10000000);
	cr_expect_geq(gateway_count(&told.world.gateways[0],
				    "lease/keepalive"), 2);
	WAIT(&told.world, strstr(str_c(&told.text), "granted 78") != NULL);
	told_free(&told);
}

Test(etcd_lease, renewed_at_another_member)
{
	struct told told;

	told_init(&told, 2);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	gateway_reply(&told.world.gateways[0], (struct gateway_reply){
		.path = "lease/keepalive", .how = GATEWAY_BREAK });
	reply(&told, 1, "lease/keepalive", ALIVE("77", "1"));
	told_start(&told);
	WAIT(&told.world, gateway_count(&told.world.gateways[1],
					"lease/keepalive") == 4);
	cr_expect(is_told(&told, "granted 77\n"), "%s", str_c(&told.text));
	told_free(&told);
}

Test(etcd_lease, grant_that_fails_is_repeated)
{
	struct told told;

	told_init(&told, 1);
	refuse(&told, "lease/grant", ETCD_ERROR("etcdserver: too large lease "
						"TTL", "11"), 400);
	reply(&told, 0, "lease/grant", GRANT("76", "0"));
	reply(&told, 0, "lease/grant", GRANT("77", "60"));
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\n");
	cr_expect_eq(gateway_count(&told.world.gateways[0], "lease/grant"), 3);
	told_free(&told);
}

/* Nobody can live as long as that. */
Test(etcd_lease, endless_time)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "9223372036854775807"));
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\n");
	etcd_world_run(&told.world, 50);
	cr_expect_eq(gateway_count(&told.world.gateways[0],
				   "lease/keepalive"), 0);
	told_free(&told);
}

Test(etcd_lease, revoked)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "60"));
	reply(&told, 0, "lease/revoke", "{" ETCD_AT("8") "}");
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\n");
	etcd_lease_revoke(told.lease, revoked);
	cr_expect_eq(told.revoked, 0);
	WAIT(&told.world, told.revoked == 1);
	cr_expect(gateway_saw(&told.world.gateways[0],
			      "lease/revoke - {\"ID\":\"77\"}\n"));
	told_free(&told);
}

/* It is over all the same: refused, or without an answer in time. */
Test(etcd_lease, revoking_that_fails)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct told told;

		told_init(&told, 1);
		told.world.settings.timeout_ms = 600;
		reply(&told, 0, "lease/grant", GRANT("77", "60"));
		if (i == 0)
			refuse(&told, "lease/revoke",
			       ETCD_ERROR("lease not found", "5"), 404);
		told_start(&told);
		WAIT_TOLD(&told, "granted 77\n");
		etcd_lease_revoke(told.lease, revoked);
		WAIT(&told.world, told.revoked == 1);
		cr_expect(is_told(&told, "granted 77\n"));
		told_free(&told);
	}
}

Test(etcd_lease, revoked_before_there_is_one)
{
	struct told told;

	told_init(&told, 1);
	told_start(&told);
	etcd_lease_revoke(told.lease, revoked);
	cr_expect_eq(told.revoked, 0);
	WAIT(&told.world, told.revoked == 1);
	cr_expect_eq(gateway_count(&told.world.gateways[0], "lease/revoke"), 0);
	told_free(&told);
}

Test(etcd_lease, freed_in_its_events)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	told_start(&told);
	told.frees = true;
	WAIT_TOLD(&told, "granted 77\n");
	cr_expect_null(told.lease);
	told_free(&told);

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "1"));
	reply(&told, 0, "lease/keepalive", EXPIRED("77"));
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\n");
	told.frees = true;
	WAIT(&told.world, told.lease == NULL);
	told_free(&told);
}

/* For its keys to live on until its time is over. */
Test(etcd_lease, freed_without_revoking)
{
	struct told told;

	told_init(&told, 1);
	reply(&told, 0, "lease/grant", GRANT("77", "60"));
	told_start(&told);
	WAIT_TOLD(&told, "granted 77\n");
	etcd_lease_free(&told.lease);
	cr_expect_null(told.lease);
	etcd_lease_free(&told.lease);
	etcd_world_run(&told.world, 50);
	cr_expect_eq(gateway_count(&told.world.gateways[0], "lease/revoke"), 0);
	told_free(&told);
}
