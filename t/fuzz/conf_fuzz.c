/* A configuration of any bytes is read and checked without harm; when it is
 * read, it packs and unpacks to the same tree, and what is dumped reads as the
 * same configuration. Input that starts as a packed tree does is taken for
 * one. */
#include "t/fuzz/fuzz.h"

#include <string.h>

#include "lib/panic.h"
#include "proxy/settings/settings.h"
#include "proxy/settings/tables.h"

static const char *default_value(const char *name)
{
	const struct conf_def *def = conf_schema_def(&settings_schema, name);

	return def != NULL ? def->value : NULL;
}

static struct conf_tree *parse(const char *text, size_t size)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("fuzz", text, size, default_value, &errors);
	ASSERT((tree == NULL) == (errors.errors > 0));
	conf_errors_free(&errors);
	return tree;
}

static void check_pack(const struct conf_tree *tree)
{
	struct str first = STR_INIT, second = STR_INIT;
	struct conf_tree *copy;

	conf_tree_pack(tree, &first);
	copy = conf_tree_unpack(first.data, first.len);
	ASSERT(copy != NULL);
	conf_tree_pack(copy, &second);
	ASSERT(first.len == second.len &&
	       memcmp(first.data, second.data, first.len) == 0);
	conf_tree_free(&copy);
	str_free(&first);
	str_free(&second);
}

static bool has_path(const struct conf_node *node)
{
	for (; node != NULL; node = node->next) {
		if (node->path != NULL || has_path(node->children))
			return true;
	}
	return false;
}

static void check_dump(const struct conf_tree *tree, enum conf_dump_mode mode)
{
	struct str first = STR_INIT, second = STR_INIT;
	struct conf_tree *again;
	char *end;

	settings_dump(tree, mode, &first);
	again = parse(str_c(&first), first.len);
	ASSERT(again != NULL);
	settings_dump(again, mode, &second);
	/* The list of other settings is not read back. */
	end = strstr(str_c(&first), "\n# accepted, without effect");
	if (end != NULL)
		str_truncate(&first, (size_t)(end + 1 - first.data));
	ASSERT(strcmp(str_c(&first), str_c(&second)) == 0);
	conf_tree_free(&again);
	str_free(&first);
	str_free(&second);
}

/* Takes over the tree. A packed one may hold what no text can say. */
static void check_tree(struct conf_tree *tree, bool from_text)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *settings;

	check_pack(tree);
	/* Not to read any files here that the input names. */
	if (has_path(tree->root->children)) {
		conf_tree_free(&tree);
		return;
	}
	settings = settings_new(tree, &errors);
	ASSERT((settings == NULL) == (errors.errors > 0));
	if (settings != NULL && from_text) {
		check_dump(tree, CONF_DUMP_CHANGED);
		check_dump(tree, CONF_DUMP_ALL);
	}
	if (settings == NULL)
		conf_tree_free(&tree);
	settings_unref(&settings);
	conf_errors_free(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool packed = size >= 4 && memcmp(data, "WPC1", 4) == 0;
	struct conf_tree *tree;

	if (packed)
		tree = conf_tree_unpack(data, size);
	else
		tree = parse((const char *)data, size);
	if (tree != NULL)
		check_tree(tree, !packed);
	return 0;
}
