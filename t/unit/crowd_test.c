#include "lib/crowd.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MAX 300

struct person {
	struct crowd_member member;
	uint64_t rank;
	char from[64];
};

static struct crowd crowd;
static struct person people[MAX];
static size_t count;

static uint64_t rank(const struct crowd_member *member)
{
	return container_of(member, struct person, member)->rank;
}

static void setup(void)
{
	crowd_init(&crowd, rank);
}

TestSuite(crowd, .init = setup);

/* The later, the higher their ranks. */
static struct person *join(const char *from)
{
	struct addr addr = { .len = 0 };
	struct person *person = &people[count];

	if (from[0] == '/')
		cr_assert_eq(addr_set_unix(&addr, from), 0);
	else if (from[0] != '\0')
		cr_assert_eq(addr_parse_ip(&addr, from, 80), 0, "%s", from);
	person->rank = count++;
	snprintf(person->from, sizeof(person->from), "%s", from);
	crowd_join(&crowd, &person->member, &addr);
	return person;
}

static void join_all(const char *const *from)
{
	for (; *from != NULL; from++)
		join(*from);
}

/* Who goes; NULL: nobody. */
static struct person *choose(void)
{
	struct crowd_member *member = crowd_choose(&crowd);

	return member == NULL ? NULL
			      : container_of(member, struct person, member);
}

static void expect_next(const char *from)
{
	struct person *person = choose();

	cr_assert_not_null(person);
	cr_expect_str_eq(person->from, from);
	cr_expect(crowd_has(&person->member));
	crowd_leave(&person->member);
	cr_expect_not(crowd_has(&person->member));
	crowd_leave(&person->member);
}

Test(crowd, nobody_is_there)
{
	cr_expect_null(choose());
	join("192.0.2.1");
	expect_next("192.0.2.1");
	cr_expect_null(choose());
}

Test(crowd, of_equals_the_lowest_rank_goes)
{
	join_all((const char *[]){ "198.51.100.1", "2001:db8::1", "192.0.2.1",
				   "/run/ctl", NULL });
	people[1].rank = 9;
	expect_next("198.51.100.1");
	expect_next("192.0.2.1");
	expect_next("/run/ctl");
	expect_next("2001:db8::1");
}

Test(crowd, an_address_with_many_makes_room_for_all_others)
{
	join_all((const char *[]){ "192.0.2.1", "192.0.2.2", "192.0.2.3",
				   "192.0.2.2", "::ffff:192.0.2.2", NULL });
	cr_expect_eq(choose(), &people[1]);
	expect_next("192.0.2.2");
	expect_next("192.0.2.2");
	expect_next("192.0.2.1");
	expect_next("192.0.2.3");
	expect_next("::ffff:192.0.2.2");
}

/* Who has addresses without end has them in one network. */
static void flood(const char *pattern, unsigned number)
{
	char from[64];
	unsigned i;

	for (i = 0; i < number; i++) {
		snprintf(from, sizeof(from), pattern, i % 250, i / 250, i);
		join(from);
	}
}

static void expect_flood_goes_first(const char *pattern)
{
	static const char *const others[] = { "192.0.2.1", "2001:db8:1:2::3",
					      "192.0.2.9", "", NULL };
	size_t i;

	join_all(others);
	flood(pattern, 200);
	for (i = 0; i < 200 - 4; i++) {
		struct person *person = choose();

		cr_assert_geq(person - people, 4, "%s", person->from);
		crowd_leave(&person->member);
	}
}

Test(crowd, a_network_with_many_makes_room_for_all_others)
{
	expect_flood_goes_first("198.51.%u.%u");
}

Test(crowd, so_does_one_of_ipv6)
{
	expect_flood_goes_first("2001:db9:%x:%x::%x");
}

/* He is in the network of those who are many, and not one of them. */
Test(crowd, a_neighbour_stays)
{
	struct person *good = join("2001:db8:1:2::3");
	size_t i;

	flood("2001:db8:1:3::%x:%x", 100);
	join("2001:db8:7::1");
	join("192.0.2.1");
	for (i = 0; i < 99; i++) {
		struct person *person = choose();

		cr_assert_neq(person, good);
		crowd_leave(&person->member);
	}
	cr_expect_eq(choose(), good);
}

Test(crowd, who_stays_does_not_count)
{
	size_t i;

	flood("192.0.2.9", 20);
	for (i = 0; i < 20; i++)
		people[i].rank = CROWD_STAYS;
	join_all((const char *[]){ "198.51.100.1", "203.0.113.1", "203.0.113.1",
				   "192.0.2.9", NULL });
	cr_expect_eq(choose(), &people[21]);
	expect_next("203.0.113.1");
	expect_next("198.51.100.1");
	expect_next("203.0.113.1");
	expect_next("192.0.2.9");
	cr_expect_null(choose());
}
