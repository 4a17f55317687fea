#include "backends/local/lda/args.h"

#include <stdbool.h>
#include <string.h>

/* --- words --- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Where the word at text ends. */
static const char *word_end(const char *text)
{
	unsigned open = 0;

	for (; *text != '\0' && (open > 0 || !is_blank(*text)); text++) {
		if (text[0] == '%' && text[1] == '{') {
			open++;
			text++;
		} else if (open > 0 && *text == '{') {
			open++;
		} else if (open > 0 && *text == '}') {
			open--;
		} else if (open > 0 && *text == '\\' && text[1] != '\0') {
			text++;
		}
	}
	return text;
}

/* Takes the next word off *text; NULL: there is none. */
static char *take_word(struct arena *arena, const char **text)
{
	const char *start = *text, *end;

	while (is_blank(*start))
		start++;
	end = word_end(start);
	*text = end;
	return end > start ? arena_strndup(arena, start, (size_t)(end - start))
			   : NULL;
}

/* What stands in front of the first variable. */
static size_t literal_len(const char *word)
{
	size_t len = strcspn(word, "%");

	while (word[len] == '%' && word[len + 1] == '%')
		len += 2 + strcspn(word + len + 2, "%");
	return len;
}

static bool has_variable(const char *word)
{
	return word[literal_len(word)] != '\0';
}

/* --- values --- */

static int check_value(const char *word, const char *value, bool options,
		       struct err *err)
{
	size_t literal = literal_len(word);

	if (!options || !has_variable(word))
		return 0;
	if (literal == 0 && *value == '-')
		return err_set(err, "\"%.100s\" would be the option \"%.100s\": "
			       "write it behind --, or as part of an argument",
			       word, value);
	if (literal == 2 && *word == '-' && value[2] == '\0')
		return err_set(err, "the value in \"%.100s\" is empty: the next "
			       "argument would take its place", word);
	return 0;
}

static int add(struct lda_args *args, const char *word, const char *value,
	       bool options, struct err *err)
{
	if (value == NULL || check_value(word, value, options, err) < 0)
		return -1;
	if (args->count == LDA_ARGS_MAX)
		return err_set(err, "more than %d arguments", LDA_ARGS_MAX - 1);
	args->list[args->count++] = (char *)value;
	return 0;
}

int lda_args_make(struct lda_args *args, struct arena *arena, const char *text,
		  lda_expand_fn *expand, const void *context, struct err *err)
{
	bool options = true;
	char *word;

	*args = (struct lda_args){ .count = 0 };
	while ((word = take_word(arena, &text)) != NULL) {
		if (add(args, word, expand(arena, context, word, err), options,
			err) < 0)
			return -1;
		if (strcmp(word, "--") == 0)
			options = false;
	}
	return 0;
}

/* --- the setting --- */

static int check_word(const char *word, struct err *err)
{
	size_t dashes = strspn(word, "-");

	if (dashes > 0 && has_variable(word) && literal_len(word) == dashes)
		return err_set(err, "\"%.100s\" makes an option of a value: "
			       "write the option's name", word);
	return 0;
}

static int check_words(struct arena *arena, const char *text, struct err *err)
{
	const char *word = take_word(arena, &text);
	unsigned count = 0;

	if (word == NULL || *word != '/' || strchr(word, '%') != NULL)
		return err_set(err, "the program must be an absolute path "
			       "without variables, not \"%.100s\"",
			       word != NULL ? word : "");
	for (; word != NULL; word = take_word(arena, &text)) {
		if (check_word(word, err) < 0)
			return -1;
		if (++count > LDA_ARGS_MAX)
			return err_set(err, "more than %d arguments",
				       LDA_ARGS_MAX - 1);
	}
	return 0;
}

int lda_args_check(const char *text, struct err *err)
{
	struct arena *arena = arena_new(1024);
	int status = check_words(arena, text, err);

	arena_free(&arena);
	return status;
}
