#include "lib/nss.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/mem.h"

#define QUESTIONS 50

Test(nss, users_and_groups)
{
	struct nss_entry entry;

	cr_assert_eq(nss_find(NSS_USER, "root", &entry), 0);
	cr_expect(entry.found);
	cr_expect_eq(entry.uid, 0);
	cr_expect_str_eq(entry.name, "root");
	cr_expect_str_eq(entry.home, "/root");
	nss_entry_free(&entry);
	cr_assert_eq(nss_find(NSS_GROUP, "daemon", &entry), 0);
	cr_expect(entry.found);
	cr_expect_eq(entry.gid, 1);
	cr_expect_null(entry.home);
	nss_entry_free(&entry);
	cr_assert_eq(nss_find(NSS_USER, "no-such-user", &entry), 0);
	cr_expect(!entry.found);
	nss_entry_free(&entry);
}

struct asker {
	struct loop *loop;
	unsigned answers, roots;
};

static void count(void *arg, int status, const struct nss_entry *entry)
{
	struct asker *asker = arg;

	cr_expect_eq(status, 0);
	asker->roots += entry->found && strcmp(entry->name, "root") == 0;
	if (++asker->answers == QUESTIONS)
		loop_stop(asker->loop);
}

Test(nss, threads_answer_all, .timeout = 60)
{
	struct asker asker = { .loop = loop_new() };
	struct nss *nss = nss_new();
	struct nss_job *jobs[QUESTIONS];
	unsigned i;

	for (i = 0; i < QUESTIONS; i++)
		jobs[i] = nss_start(nss, asker.loop, NSS_USER,
				    i % 2 ? "root" : "no-such-user", count,
				    &asker);
	cr_expect_eq(asker.answers, 0);
	loop_run(asker.loop);
	cr_expect_eq(asker.roots, QUESTIONS / 2);
	/* Some of these are queued, some asked, some answered. */
	for (i = 0; i < QUESTIONS; i++)
		jobs[i] = nss_start(nss, asker.loop, NSS_USER, "root", count,
				    NULL);
	for (i = 0; i < QUESTIONS; i++)
		nss_cancel(&jobs[i]);
	asker.answers = QUESTIONS - 1;
	jobs[0] = nss_start(nss, asker.loop, NSS_USER, "root", count, &asker);
	loop_run(asker.loop);
	nss_free(&nss);
	loop_free(&asker.loop);
}

Test(nss, never_asked)
{
	struct nss *nss = nss_new();

	nss_free(&nss);
	nss_free(&nss);
}
