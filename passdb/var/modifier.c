#include <inttypes.h>
#include <string.h>

#include "lib/digest.h"
#include "passdb/var/private.h"

/* What a modifier rewrites, in place where it can: out behind the first from
 * bytes. H and N also use up the spec's offset and width. */
struct tail {
	struct str *out;
	size_t from;
	struct var_spec *spec;
	struct err *err;
};

struct modifier {
	char key;
	int (*apply)(struct tail *tail);
};

static size_t tail_len(const struct tail *tail)
{
	return tail->out->len - tail->from;
}

static char *tail_data(const struct tail *tail)
{
	str_reserve(tail->out, 0);
	str_grown(tail->out, 0);
	return tail->out->data + tail->from;
}

/* Takes the text off out; the copy is the caller's. */
static struct str tail_take(struct tail *tail)
{
	struct str text = STR_INIT;

	str_append(&text, tail_data(tail), tail_len(tail));
	str_truncate(tail->out, tail->from);
	return text;
}

static int modify_lower(struct tail *tail)
{
	char *data = tail_data(tail), *end = data + tail_len(tail);

	for (; data < end; data++) {
		if (*data >= 'A' && *data <= 'Z')
			*data += 'a' - 'A';
	}
	return 0;
}

static int modify_upper(struct tail *tail)
{
	char *data = tail_data(tail), *end = data + tail_len(tail);

	for (; data < end; data++) {
		if (*data >= 'a' && *data <= 'z')
			*data -= 'a' - 'A';
	}
	return 0;
}

static int modify_escape(struct tail *tail)
{
	struct str text = tail_take(tail);
	size_t i;

	for (i = 0; i < text.len; i++) {
		if (strchr("\"\\'", text.data[i]) != NULL)
			str_putc(tail->out, '\\');
		str_putc(tail->out, text.data[i]);
	}
	str_free(&text);
	return 0;
}

/* As in Dovecot, what is no number counts as 0. */
static int modify_hex(struct tail *tail)
{
	const char *text = tail_data(tail);
	uint64_t number = 0;

	for (; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (number > (UINT64_MAX - digit) / 10)
			break;
		number = number * 10 + digit;
	}
	if (*text != '\0')
		number = 0;
	str_truncate(tail->out, tail->from);
	str_printf(tail->out, "%" PRIx64, number);
	return 0;
}

static int modify_reverse(struct tail *tail)
{
	char *data = tail_data(tail);
	size_t i, j;

	for (i = 0, j = tail_len(tail); i + 1 < j; i++) {
		char c = data[i];

		data[i] = data[--j];
		data[j] = c;
	}
	return 0;
}

/* Puts a hash value where the text was: modulo the width, padded with zeros to
 * as many digits as the offset says. */
static void tail_put_hash(struct tail *tail, uint64_t value)
{
	struct var_spec *spec = tail->spec;

	/* As in Dovecot, the modulus is without a sign. */
	if (spec->width != 0)
		value %= (uint64_t)(int64_t)spec->width;
	str_truncate(tail->out, tail->from);
	str_printf(tail->out, "%0*x", spec->offset > 0 ? spec->offset : 0,
		   (unsigned)value);
	spec->offset = spec->width = 0;
}

/* The symbol hash of ELF. */
static int modify_old_hash(struct tail *tail)
{
	const char *data = tail_data(tail), *end = data + tail_len(tail);
	uint32_t hash = 0, high;

	for (; data < end; data++) {
		hash = (hash << 4) + (unsigned char)*data;
		high = hash & 0xf0000000;
		hash = (hash ^ (high >> 24)) & ~high;
	}
	tail_put_hash(tail, hash);
	return 0;
}

static int tail_md5(const struct tail *tail, uint8_t *digest_r)
{
	if (digest_compute(digest_find("md5"), tail_data(tail),
			   tail_len(tail), digest_r) < 0)
		return err_set(tail->err, "MD5 is refused by this system's "
			       "crypto policy");
	return 0;
}

static int modify_new_hash(struct tail *tail)
{
	uint8_t digest[DIGEST_MD5_SIZE];
	uint64_t value = 0;
	unsigned i;

	if (tail_md5(tail, digest) < 0)
		return -1;
	for (i = 0; i < sizeof(value); i++)
		value = value << 8 | digest[i];
	tail_put_hash(tail, value);
	return 0;
}

static int modify_md5(struct tail *tail)
{
	uint8_t digest[DIGEST_MD5_SIZE];
	unsigned i;

	if (tail_md5(tail, digest) < 0)
		return -1;
	str_truncate(tail->out, tail->from);
	for (i = 0; i < sizeof(digest); i++)
		str_printf(tail->out, "%02x", digest[i]);
	return 0;
}

static int modify_dn(struct tail *tail)
{
	struct str text = tail_take(tail);
	size_t i;

	for (i = 0; i < text.len; i++) {
		if (text.data[i] == '.')
			str_puts(tail->out, ",dc=");
		else
			str_putc(tail->out, text.data[i]);
	}
	str_free(&text);
	return 0;
}

void var_modify_dn(struct str *out, size_t from)
{
	struct tail tail = { .out = out, .from = from };

	(void)modify_dn(&tail);
}

static int modify_trim(struct tail *tail)
{
	const char *data = tail_data(tail);
	size_t len = tail_len(tail);

	while (len > 0 && strchr(" \t\r\n\v\f", data[len - 1]) != NULL)
		len--;
	str_truncate(tail->out, tail->from + len);
	return 0;
}

static const struct modifier modifiers[] = {
	{ 'L', modify_lower },	  { 'U', modify_upper },
	{ 'E', modify_escape },	  { 'X', modify_hex },
	{ 'R', modify_reverse },  { 'H', modify_old_hash },
	{ 'N', modify_new_hash }, { 'M', modify_md5 },
	{ 'D', modify_dn },	  { 'T', modify_trim },
};

static const struct modifier *modifier_find(char key)
{
	size_t i;

	for (i = 0; i < sizeof(modifiers) / sizeof(*modifiers); i++) {
		if (modifiers[i].key == key)
			return &modifiers[i];
	}
	return NULL;
}

bool var_is_modifier(char c)
{
	return modifier_find(c) != NULL;
}

/* Removes the first count bytes of the text. */
static void tail_cut(struct tail *tail, size_t count)
{
	char *data = tail_data(tail);
	size_t rest = tail_len(tail) - count;

	memmove(data, data + count, rest);
	str_truncate(tail->out, tail->from + rest);
}

static void apply_offset(struct tail *tail, int offset)
{
	size_t len = tail_len(tail);
	size_t count = (size_t)(offset < 0 ? -offset : offset);

	if (offset > 0)
		tail_cut(tail, count < len ? count : len);
	else if (offset < 0 && count < len)
		tail_cut(tail, len - count);
}

static void apply_width(struct tail *tail, int width)
{
	size_t len = tail_len(tail);
	size_t count = (size_t)(width < 0 ? -width : width);

	/* As in Dovecot, a text that is shorter than what shall go stays. */
	if (width < 0)
		count = count <= len ? len - count : len;
	if (count < len)
		str_truncate(tail->out, tail->from + count);
}

static void apply_padding(struct tail *tail, int width)
{
	size_t len = tail_len(tail), zeros;
	char *data;

	if (width < 0 || (size_t)width <= len)
		return;
	zeros = (size_t)width - len;
	str_reserve(tail->out, zeros);
	data = tail_data(tail);
	memmove(data + zeros, data, len);
	memset(data, '0', zeros);
	str_grown(tail->out, zeros);
}

int var_modify(struct str *out, size_t from, struct var_spec *spec,
	       struct err *err)
{
	struct tail tail = { out, from, spec, err };
	unsigned i;

	for (i = 0; i < spec->modifier_count; i++) {
		if (modifier_find(spec->modifiers[i])->apply(&tail) < 0)
			return -1;
	}
	apply_offset(&tail, spec->offset);
	if (spec->width != 0 && spec->zero_padding)
		apply_padding(&tail, spec->width);
	else if (spec->width != 0)
		apply_width(&tail, spec->width);
	return 0;
}
