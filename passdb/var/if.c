#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wildcard.h"
#include "passdb/var/private.h"

enum { IF_LEFT, IF_OP, IF_RIGHT, IF_YES, IF_NO, IF_PARAMS };

enum if_op {
	OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, /* numbers */
	OP_STR_EQ, OP_STR_NE, OP_STR_LT, OP_STR_LE, OP_STR_GT, OP_STR_GE,
	OP_LIKE, OP_NOT_LIKE, OP_REGEX, OP_NOT_REGEX,
	OP_COUNT,
};

static const char *const if_op_names[OP_COUNT] = {
	[OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<",
	[OP_LE] = "<=", [OP_GT] = ">", [OP_GE] = ">=",
	[OP_STR_EQ] = "eq", [OP_STR_NE] = "ne", [OP_STR_LT] = "lt",
	[OP_STR_LE] = "le", [OP_STR_GT] = "gt", [OP_STR_GE] = "ge",
	[OP_LIKE] = "*", [OP_NOT_LIKE] = "!*",
	[OP_REGEX] = "~", [OP_NOT_REGEX] = "!~",
};

const char *var_if_operator(unsigned number)
{
	return number < OP_COUNT ? if_op_names[number] : NULL;
}

static int if_op_parse(const char *text, enum if_op *op_r, struct err *err)
{
	unsigned i;

	for (i = 0; i < OP_COUNT; i++) {
		if (strcmp(text, if_op_names[i]) == 0) {
			*op_r = (enum if_op)i;
			return 0;
		}
	}
	return err_set(err, "%%{if}: unknown comparison '%s'", text);
}

static int if_number(const char *text, intmax_t *number_r, struct err *err)
{
	char *end;

	errno = 0;
	*number_r = strtoimax(text, &end, 10);
	if (text[strspn(text, "-0123456789")] != '\0' || end == text ||
	    *end != '\0' || errno != 0)
		return err_set(err, "%%{if}: '%s' is not a number", text);
	return 0;
}

/* Whether an order (negative, zero, positive) is what the operator asks for;
 * op counts from OP_EQ. */
static bool if_order(unsigned op, int order)
{
	switch (op) {
	case OP_EQ:
		return order == 0;
	case OP_NE:
		return order != 0;
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_GT:
		return order > 0;
	default:
		return order >= 0;
	}
}

static int if_regex(const char *text, const char *pattern, bool *match_r,
		    struct err *err)
{
	char reason[128];
	regex_t regex;
	int code = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);

	if (code != 0) {
		regerror(code, &regex, reason, sizeof(reason));
		return err_set(err, "%%{if}: pattern '%s': %s", pattern,
			       reason);
	}
	*match_r = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return 0;
}

static int if_compare(enum if_op op, const char *left, const char *right,
		      bool *result_r, struct err *err)
{
	intmax_t a, b;
	int ret = 0;

	if (op < OP_STR_EQ) {
		if (if_number(left, &a, err) < 0 ||
		    if_number(right, &b, err) < 0)
			return -1;
		*result_r = if_order(op, a < b ? -1 : a > b);
		return 0;
	}
	if (op < OP_LIKE)
		*result_r = if_order(op - OP_STR_EQ, strcmp(left, right));
	else if (op < OP_REGEX)
		*result_r = wildcard_match(left, right);
	else
		ret = if_regex(left, right, result_r, err);
	if (op == OP_NOT_LIKE || op == OP_NOT_REGEX)
		*result_r = !*result_r;
	return ret;
}

/* Cuts args at the semicolons outside inner variables; a backslash takes the
 * special meaning away from what follows (and goes, once per level). */
static int if_split(const char *args, struct str *params, unsigned *count_r,
		    struct err *err)
{
	bool after_percent = false;
	unsigned count = 0, open = 0;

	for (; *args != '\0'; args++) {
		if (*args == '\\' && args[1] != '\0') {
			str_putc(&params[count], *++args);
			continue;
		}
		if (*args == ';' && open == 0) {
			if (++count == IF_PARAMS)
				return err_set(err, "%%{if}: more than five "
					       "parameters");
			continue;
		}
		if (*args == ':' && open == 0)
			return err_set(err, "%%{if}: write '\\:' for ':'");
		if (*args == '%')
			after_percent = true;
		if (*args == '{' && after_percent) {
			open++;
			after_percent = false;
		}
		if (*args == '}' && open > 0)
			open--;
		str_putc(&params[count], *args);
	}
	/* An empty last one is none, in Dovecot. */
	*count_r = count + (params[count].len > 0);
	return 0;
}

/* The three that are compared. */
static int if_operands(struct var_job *job, struct str *params,
		       struct str *values)
{
	bool raw = job->raw;
	unsigned i;
	int ret = 0;

	job->raw = true;
	for (i = IF_LEFT; i <= IF_RIGHT && ret == 0; i++)
		ret = var_job_expand(job, &values[i], str_c(&params[i]));
	job->raw = raw;
	return ret;
}

static int if_choose(struct var_job *job, struct str *out, struct str *params,
		     struct str *values)
{
	enum if_op op;
	bool yes = false;

	if (if_operands(job, params, values) < 0 ||
	    if_op_parse(str_c(&values[IF_OP]), &op, job->err) < 0)
		return -1;
	if (job->checking)
		return var_job_expand(job, out, str_c(&params[IF_YES])) < 0 ?
		       -1 : var_job_expand(job, out, str_c(&params[IF_NO]));
	if (if_compare(op, str_c(&values[IF_LEFT]), str_c(&values[IF_RIGHT]),
		       &yes, job->err) < 0)
		return -1;
	return var_job_expand(job, out, str_c(&params[yes ? IF_YES : IF_NO]));
}

int var_if(struct var_job *job, struct str *out, const char *args)
{
	struct str params[IF_PARAMS] = { STR_INIT }, values[3] = { STR_INIT };
	unsigned count = 0, i;
	int ret;

	if (*args != ';')
		return err_set(job->err, "%%{if}: missing parameters");
	ret = if_split(args + 1, params, &count, job->err);
	if (ret == 0 && count < IF_NO)
		ret = err_set(job->err, "%%{if}: needs four or five "
			      "parameters, not %u", count);
	if (ret == 0)
		ret = if_choose(job, out, params, values);
	for (i = 0; i < IF_PARAMS; i++)
		str_free(&params[i]);
	for (i = 0; i < 3; i++)
		str_free(&values[i]);
	return ret;
}
