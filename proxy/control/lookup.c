/* Looking a recipient up with what the running process has: its configuration,
 * its cache, and the files as it has read them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/lookup/live.h"

#define MAX_TEXTS 32
#define MAX_LOOKUPS 16 /* at a time */

struct control_lookup {
	struct list node;
	struct control_call *call;
	struct lookup *lookup;
	struct lookup_live *live;
	FILE *out;
	char *report; /* what was written to it */
	size_t report_len;
};

static void lookup_end(struct control_lookup *asked)
{
	list_remove(&asked->node);
	asked->call->control->lookup_count--;
	lookup_free(&asked->lookup);
	lookup_live_unref(&asked->live);
	if (asked->out != NULL)
		fclose(asked->out);
}

static void lookup_gone(struct control_lookup *asked)
{
	free(asked->report);
	mem_free(&asked);
}

static void done(void *arg, enum lookup_status status)
{
	struct control_lookup *asked = arg;
	struct control_call *call = asked->call;

	lookup_end(asked);
	json_open_object(&call->json, NULL);
	json_write_number(&call->json, "exit_status", (uint64_t)status);
	json_write_text(&call->json, "report", asked->report);
	json_close_object(&call->json);
	lookup_gone(asked);
	control_answer(&call);
}

/* With a chain of its own: the report is of all that is asked, also while the same
 * is asked for somebody else. */
static int open_lookup(struct control_lookup *asked, struct err *err)
{
	asked->live = lookup_live_new(&asked->call->control->env, err);
	if (asked->live == NULL)
		return -1;
	asked->out = open_memstream(&asked->report, &asked->report_len);
	return asked->out != NULL ? 0 : err_set(err, "out of memory");
}

/* The lines of x, in the request's memory. -1: too many. */
static int split(const struct control_call *call, const char **texts)
{
	const char *x = control_param(call, "x");
	char *rest, *line;
	int count = 0;

	if (x == NULL || *x == '\0')
		return 0;
	rest = arena_strdup(call->request->arena, x);
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (count == MAX_TEXTS)
			return -1;
		texts[count++] = line;
	}
	return count;
}

static struct lookup *make_lookup(struct control_call **call)
{
	const char *user = control_param(*call, "user"), *texts[MAX_TEXTS];
	int count = split(*call, texts);
	struct lookup *lookup;
	struct err err;

	if (user == NULL || count < 0) {
		control_refuse(call, 400, user == NULL
						  ? "user is missing"
						  : "x has too many lines");
		return NULL;
	}
	if ((*call)->control->lookup_count >= MAX_LOOKUPS) {
		control_refuse(call, 503, "too many lookups at a time");
		return NULL;
	}
	lookup = lookup_new(user, texts, (unsigned)count, &err);
	if (lookup == NULL)
		control_refuse(call, 400, err.text);
	return lookup;
}

void control_lookup(struct control_call *call)
{
	struct lookup *lookup = make_lookup(&call);
	struct control_lookup *asked;
	struct err err;

	if (lookup == NULL)
		return;
	asked = mem_new(struct control_lookup);
	asked->call = call;
	asked->lookup = lookup;
	list_append(&call->control->lookups, &asked->node);
	call->control->lookup_count++;
	if (open_lookup(asked, &err) < 0) {
		lookup_end(asked);
		lookup_gone(asked);
		control_refuse(&call, 503, err.text);
		return;
	}
	lookup_start(lookup, &asked->live->env, asked->out, done, asked);
}

void control_lookups_drop(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->lookups, node, tmp) {
		struct control_lookup *asked =
			container_of(node, struct control_lookup, node);
		struct control_call *call = asked->call;

		lookup_end(asked);
		lookup_gone(asked);
		control_refuse(&call, 503, CONTROL_LEAVES);
	}
}
