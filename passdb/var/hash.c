#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "lib/mem.h"
#include "passdb/var/private.h"

#define HASH_MAX_ROUNDS 1000000
#define PBKDF2_ROUNDS 2048 /* Dovecot's default */

/* Dovecot derives this much (its code names the size of a HMAC's state), of
 * which "truncate" usually leaves a part. */
#define PBKDF2_SIZE 336

enum hash_format { HASH_HEX, HASH_HEXUC, HASH_BASE64 };

struct hash_options {
	struct digest_method *method;
	bool pbkdf2;
	unsigned rounds;
	unsigned truncate; /* bits; 0: all */
	enum hash_format format;
	struct str salt;
};

static int option_number(const char *name, const char *value, size_t len,
			 unsigned *number_r, struct err *err)
{
	unsigned number = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			break;
		number = number * 10 + (unsigned)(value[i] - '0');
		if (number > HASH_MAX_ROUNDS)
			break;
	}
	if (len == 0 || i < len)
		return err_set(err, "%s=%.*s: not a number up to %d", name,
			       (int)len, value, HASH_MAX_ROUNDS);
	*number_r = number;
	return 0;
}

static int option_format(const char *value, size_t len,
			 enum hash_format *format_r, struct err *err)
{
	static const char *const names[] = { "hex", "hexuc", "base64" };
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strlen(names[i]) == len &&
		    memcmp(names[i], value, len) == 0) {
			*format_r = (enum hash_format)i;
			return 0;
		}
	}
	return err_set(err, "format=%.*s: not hex, hexuc or base64", (int)len,
		       value);
}

/* One "name=value" of len bytes. */
static int option_set(struct hash_options *hash, const char *text, size_t len,
		      struct err *err)
{
	if (len > 7 && strncmp(text, "rounds=", 7) == 0) {
		if (option_number("rounds", text + 7, len - 7, &hash->rounds,
				  err) < 0)
			return -1;
		return hash->rounds > 0 ? 0 : err_set(err, "rounds=0: must be "
						      "at least 1");
	}
	if (len > 9 && strncmp(text, "truncate=", 9) == 0)
		return option_number("truncate", text + 9, len - 9,
				     &hash->truncate, err);
	if (len > 7 && strncmp(text, "format=", 7) == 0)
		return option_format(text + 7, len - 7, &hash->format, err);
	return err_set(err, "unknown option of a hash: %.*s", (int)len, text);
}

static int option_salt(struct var_job *job, struct hash_options *hash,
		       const char *text, size_t len)
{
	char *salt = mem_strndup(text, len);
	int status;

	str_clear(&hash->salt);
	status = var_job_expand(job, &hash->salt, salt);
	mem_free(&salt);
	return status;
}

/* As in Dovecot, what follows the salt, which may have variables, is not read. */
static int options_parse(struct var_job *job, struct hash_options *hash,
			 const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		if (len >= 5 && strncmp(text, "salt=", 5) == 0)
			return option_salt(job, hash, text + 5, len - 5);
		if (len > 0 && option_set(hash, text, len, job->err) < 0)
			return -1;
		text += len;
		if (*text == ',')
			text++;
	}
	return 0;
}

/* Each round hashes the salt and the result of the one before. */
static int hash_rounds(const struct hash_options *hash,
		       const struct str *value, uint8_t *digest_r)
{
	struct str text = STR_INIT;
	unsigned round;
	int ret = 0;

	str_append(&text, str_c(&hash->salt), hash->salt.len);
	str_append(&text, str_c(value), value->len);
	for (round = 0; round < hash->rounds && ret == 0; round++) {
		ret = digest_compute(hash->method, str_c(&text), text.len,
				     digest_r);
		str_truncate(&text, hash->salt.len);
		str_append(&text, digest_r, digest_size(hash->method));
	}
	str_free(&text);
	return ret;
}

/* Leaves the first bits of the digest, as one number aligned to the right.
 * Returns its bytes. */
static size_t truncate_bits(uint8_t *digest, size_t size, unsigned bits)
{
	size_t keep = (bits + 7) / 8, i;
	unsigned shift = (8 - bits % 8) % 8;

	if (bits == 0 || keep > size)
		return size;
	for (i = keep; i-- > 0 && shift > 0;) {
		unsigned high = i > 0 ? digest[i - 1] : 0;

		digest[i] = (uint8_t)((high << 8 | digest[i]) >> shift);
	}
	return keep;
}

static void put_digest(struct str *out, const uint8_t *digest, size_t size,
		       enum hash_format format)
{
	size_t i;

	if (format == HASH_BASE64) {
		digest_put_base64(out, digest, size);
		return;
	}
	for (i = 0; i < size; i++) /* hexuc is lower case in Dovecot, too */
		str_printf(out, "%02x", digest[i]);
}

static int hash_put(struct var_job *job, struct str *out,
		    const struct hash_options *hash, const struct str *value)
{
	uint8_t digest[PBKDF2_SIZE];
	size_t size = hash->pbkdf2 ? PBKDF2_SIZE : digest_size(hash->method);
	int ret;

	if (hash->pbkdf2)
		ret = digest_pbkdf2(hash->method, value, &hash->salt,
				    hash->rounds, digest, size);
	else
		ret = hash_rounds(hash, value, digest);
	if (ret < 0)
		return err_set(job->err, "a hash is refused by this system's "
			       "crypto policy");
	size = truncate_bits(digest, size, hash->truncate);
	put_digest(out, digest, size, hash->format);
	return 1;
}

/* PBKDF2 is salted with the field's name when no salt is given. */
static void options_init(struct hash_options *hash, const char *field)
{
	hash->rounds = hash->pbkdf2 ? PBKDF2_ROUNDS : 1;
	if (hash->pbkdf2)
		str_puts(&hash->salt, field);
}

int var_hash(struct var_job *job, struct str *out, const char *algo,
	     const char *options, const char *field)
{
	struct hash_options hash = {
		.pbkdf2 = strcmp(algo, "pkcs5") == 0,
	};
	struct str value = STR_INIT;
	bool raw = job->raw;
	int ret;

	hash.method = digest_find(hash.pbkdf2 ? "sha256" : algo);
	if (hash.method == NULL)
		return 0;
	options_init(&hash, field);
	job->raw = true;
	ret = options_parse(job, &hash, options);
	if (ret == 0)
		ret = var_job_long(job, &value, field, strlen(field));
	job->raw = raw;
	if (ret == 0 && !job->checking)
		ret = hash_put(job, out, &hash, &value);
	str_free(&hash.salt);
	str_free(&value);
	return ret < 0 ? -1 : 1;
}
