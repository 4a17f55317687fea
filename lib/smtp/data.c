#include "lib/smtp/data.h"

#include <string.h>

#include "lib/panic.h"

/* Text is checked a block at a time; only the vector with something to look at
 * goes byte by byte. */
#define BLOCK 64
#define WIDTH 16
/* So that it can be compiled for processors with other registers, too. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef unsigned char smtp_data_vec __attribute__((vector_size(WIDTH)));
typedef uint64_t smtp_data_pair __attribute__((vector_size(WIDTH)));
typedef unsigned char smtp_data_wide __attribute__((vector_size(2 * WIDTH)));
typedef uint64_t smtp_data_quad __attribute__((vector_size(2 * WIDTH)));

/* One call of smtp_data_scan(). */
struct smtp_data_run {
	struct smtp_data *data;
	const char *buf;
	size_t from;	/* what is before is in out, dropped, or held back */
	size_t dot_at;	/* where in buf what is held back starts */
	size_t carried; /* bytes held back by earlier calls */
	bool changed;
	struct str *out;
};

void smtp_data_init(struct smtp_data *data, enum smtp_data_policy policy)
{
	*data = (struct smtp_data){ .policy = policy,
				    .state = SMTP_DATA_START };
}

void smtp_data_init_octets(struct smtp_data *data, enum smtp_data_policy policy)
{
	*data = (struct smtp_data){ .policy = policy,
				    .octets = true,
				    .state = SMTP_DATA_START };
}

/* The bytes at p that need a look, given those before them: CR and LF that
 * are no pair, NUL, and a dot that starts a line. */
static smtp_data_vec smtp_data_odd(const char *p)
{
	smtp_data_vec now, before;

	memcpy(&now, p, WIDTH);
	memcpy(&before, p - 1, WIDTH);
	return (smtp_data_vec)(((now == '\n') ^ (before == '\r')) |
			       (now == '\0') |
			       ((now == '.') & (before == '\n')));
}

static bool smtp_data_is_zero(smtp_data_vec vec)
{
	smtp_data_pair pair = (smtp_data_pair)vec;

	return (pair[0] | pair[1]) == 0;
}

/* The same for twice as many, for whose sake it returns nothing: how is another
 * matter without registers of that size. */
static ALWAYS_INLINE void smtp_data_find_odd(const char *p, smtp_data_wide *odd)
{
	smtp_data_wide now, before;

	memcpy(&now, p, sizeof(now));
	memcpy(&before, p - 1, sizeof(before));
	*odd |= (smtp_data_wide)(((now == '\n') ^ (before == '\r')) |
				 (now == '\0') |
				 ((now == '.') & (before == '\n')));
}

static ALWAYS_INLINE bool smtp_data_block_is_plain(const char *p)
{
	smtp_data_wide odd = { 0 };
	smtp_data_quad quad;

	smtp_data_find_odd(p, &odd);
	smtp_data_find_odd(p + sizeof(odd), &odd);
	quad = (smtp_data_quad)odd;
	return (quad[0] | quad[1] | quad[2] | quad[3]) == 0;
}

/* Passes over plain blocks. */
static ALWAYS_INLINE size_t smtp_data_pass(const char *buf, size_t at,
					   size_t len)
{
	while (len - at >= BLOCK && smtp_data_block_is_plain(buf + at))
		at += BLOCK;
	return at;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static size_t
smtp_data_pass_avx2(const char *buf, size_t at, size_t len)
{
	return smtp_data_pass(buf, at, len);
}
#endif

static size_t smtp_data_pass_blocks(const char *buf, size_t at, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return smtp_data_pass_avx2(buf, at, len);
#endif
	return smtp_data_pass(buf, at, len);
}

/* Passes over plain text from at on. Returns up to where. */
static size_t smtp_data_skip(struct smtp_data_run *run, size_t at, size_t len)
{
	size_t start = at;

	at = smtp_data_pass_blocks(run->buf, at, len);
	while (len - at >= WIDTH &&
	       smtp_data_is_zero(smtp_data_odd(run->buf + at)))
		at += WIDTH;
	if (at == start)
		return at;
	if (run->buf[at - 1] == '\r')
		run->data->state = SMTP_DATA_CR;
	else if (run->buf[at - 1] == '\n')
		run->data->state = SMTP_DATA_START;
	else
		run->data->state = SMTP_DATA_LINE;
	return at;
}

/* Whether the byte before the next one is enough to know the state, and it is
 * in buf. */
static bool smtp_data_may_skip(const struct smtp_data_run *run, size_t at)
{
	switch (run->data->state) {
	case SMTP_DATA_LINE:
	case SMTP_DATA_START:
	case SMTP_DATA_CR:
		return at > 0;
	default:
		return false;
	}
}

/* Puts text into what is stored, before the byte of buf at `at`. */
static void smtp_data_insert(struct smtp_data_run *run, size_t at,
			     const char *text, size_t len)
{
	str_append(run->out, run->buf + run->from, at - run->from);
	str_append(run->out, text, len);
	run->from = at;
	run->changed = true;
}

static void smtp_data_nul(struct smtp_data_run *run, size_t at)
{
	if (run->data->policy != SMTP_DATA_NORMALIZE)
		return;
	smtp_data_insert(run, at, "", 0);
	run->from = at + 1;
}

/* What was held back is no end: stores it, stuffed if asked to. */
static void smtp_data_release(struct smtp_data_run *run, bool stuff)
{
	const char *held = stuff ? "..\r" : ".\r";

	if (run->carried > 0)
		smtp_data_insert(run, 0, held, run->carried + stuff);
	else if (stuff)
		smtp_data_insert(run, run->dot_at, held, 1);
	run->carried = 0;
}

/* c follows what is held back. Returns whether it belongs to it. */
static bool smtp_data_step_dot(struct smtp_data_run *run, char c)
{
	struct smtp_data *data = run->data;
	bool cr = data->state == SMTP_DATA_DOT_CR;

	if (c == (cr ? '\n' : '\r')) {
		data->state = cr ? SMTP_DATA_END : SMTP_DATA_DOT_CR;
		return true;
	}
	smtp_data_release(run, cr || c == '\n' || c == '\0');
	data->state = cr ? SMTP_DATA_CR : SMTP_DATA_LINE;
	return false;
}

/* c, at `at`, follows a CR. Returns whether it belongs to it. */
static bool smtp_data_step_cr(struct smtp_data_run *run, char c, size_t at)
{
	struct smtp_data *data = run->data;

	if (c == '\n') {
		data->state = data->state == SMTP_DATA_CR ? SMTP_DATA_START :
							    SMTP_DATA_LAX_START;
		return true;
	}
	data->bad |= data->policy == SMTP_DATA_REJECT;
	if (c == '\0') {
		data->state = SMTP_DATA_CR_NUL;
		smtp_data_nul(run, at);
		return true;
	}
	if (data->policy == SMTP_DATA_NORMALIZE)
		smtp_data_insert(run, at, "\n", 1);
	data->state = SMTP_DATA_LAX_START;
	return false;
}

/* A dot at `at`, with the state that the byte before it left. */
static void smtp_data_step_to_dot(struct smtp_data_run *run, size_t at,
				  enum smtp_data_state before)
{
	if (before == SMTP_DATA_START) {
		run->data->state = SMTP_DATA_DOT;
		run->dot_at = at;
	} else if (before == SMTP_DATA_LAX_START) {
		smtp_data_insert(run, at, ".", 1);
	}
}

/* c, at `at`, within a line or at its start. */
static void smtp_data_step_line(struct smtp_data_run *run, char c, size_t at)
{
	struct smtp_data *data = run->data;
	enum smtp_data_state before = data->state;

	data->state = SMTP_DATA_LINE;
	if (c == '\r') {
		data->state = SMTP_DATA_CR;
	} else if (c == '\n') {
		data->bad |= data->policy == SMTP_DATA_REJECT;
		if (data->policy == SMTP_DATA_NORMALIZE)
			smtp_data_insert(run, at, "\r", 1);
		data->state = SMTP_DATA_LAX_START;
	} else if (c == '\0') {
		data->bad |= data->policy == SMTP_DATA_REJECT;
		smtp_data_nul(run, at);
		if (before != SMTP_DATA_LINE)
			data->state = SMTP_DATA_LAX_START;
	} else if (c == '.' && !data->octets) {
		smtp_data_step_to_dot(run, at, before);
	}
}

static void smtp_data_step(struct smtp_data_run *run, size_t at)
{
	struct smtp_data *data = run->data;
	char c = run->buf[at];

	if ((data->state == SMTP_DATA_DOT || data->state == SMTP_DATA_DOT_CR) &&
	    smtp_data_step_dot(run, c))
		return;
	if ((data->state == SMTP_DATA_CR || data->state == SMTP_DATA_CR_NUL) &&
	    smtp_data_step_cr(run, c, at))
		return;
	smtp_data_step_line(run, c, at);
}

/* Goes to the end of data or of buf. Returns how far that is. */
static size_t smtp_data_walk(struct smtp_data_run *run, size_t len)
{
	size_t at = 0, stop;

	while (at < len && run->data->state != SMTP_DATA_END) {
		if (smtp_data_may_skip(run, at))
			at = smtp_data_skip(run, at, len);
		stop = len - at < WIDTH ? len : at + WIDTH;
		if (at == 0)
			stop = 1;
		while (at < stop && run->data->state != SMTP_DATA_END)
			smtp_data_step(run, at++);
	}
	return at;
}

int smtp_data_scan(struct smtp_data *data, const char *buf, size_t len,
		   size_t *used_r, size_t *keep_r, struct str *out)
{
	struct smtp_data_run run = { .data = data, .buf = buf, .out = out };
	bool ended;
	size_t keep;

	ASSERT(data->state != SMTP_DATA_END);
	if (data->state == SMTP_DATA_DOT)
		run.carried = 1;
	else if (data->state == SMTP_DATA_DOT_CR)
		run.carried = 2;
	*used_r = keep = smtp_data_walk(&run, len);
	ended = data->state == SMTP_DATA_END;
	if (ended || data->state == SMTP_DATA_DOT ||
	    data->state == SMTP_DATA_DOT_CR)
		keep = run.dot_at;
	if (run.changed)
		str_append(out, buf + run.from, keep - run.from);
	*keep_r = run.changed ? 0 : keep;
	data->size += *used_r;
	if (ended)
		data->size -= strlen(".\r\n");
	return ended;
}

void smtp_data_finish_octets(struct smtp_data *data, struct str *out)
{
	bool bare = data->state == SMTP_DATA_CR ||
		    data->state == SMTP_DATA_CR_NUL;

	ASSERT(data->octets && data->state != SMTP_DATA_END);
	data->state = SMTP_DATA_END;
	data->bad |= bare && data->policy == SMTP_DATA_REJECT;
	if (bare && data->policy == SMTP_DATA_NORMALIZE)
		str_putc(out, '\n');
}
