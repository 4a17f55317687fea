#include "passdb/ext_file.h"

#include <criterion/criterion.h>
#include <string.h>

struct thing {
	const char *name, *secret;
	unsigned count;
};

static const struct conf_def defs[] = {
	CONF_DEF_STRING(struct thing, name, "name", "nobody", "a name"),
	CONF_DEF_SECRET(struct thing, secret, "secret", "", "a secret"),
	CONF_DEF_UINT(struct thing, count, "count", "3", "a count"),
	CONF_DEF_END
};
static const struct conf_table table = { defs, 0 };
static const char *const ignored[] = { "other", "another", NULL };
static const struct ext_file_kind
	plain = { &table, ignored, true },
	conf = { &table, ignored, false };

struct world {
	struct conf_tree *files;
	struct conf_errors errors;
	struct arena *arena;
	struct ext_file file;
	struct thing thing;
	bool open;
};

static void world_read(struct world *world, const struct ext_file_kind *kind,
		       const char *text)
{
	*world = (struct world){ .files = conf_tree_new(),
				 .arena = arena_new(256) };
	conf_file_add(world->files, "/secret", "hush\n");
	conf_file_add(world->files, "/pem", "-----BEGIN X-----\n");
	world->open = ext_file_open(&world->file, kind, "f", text,
				    world->files, &world->errors) == 0;
	if (world->open)
		ext_file_apply(&world->file, world->arena, &world->thing);
}

static void world_free(struct world *world)
{
	ext_file_close(&world->file);
	conf_tree_free(&world->files);
	conf_errors_free(&world->errors);
	arena_free(&world->arena);
}

static void expect(const struct ext_file_kind *kind, const char *text,
		   const char *errors)
{
	struct world world;

	world_read(&world, kind, text);
	cr_expect_str_eq(str_c(&world.errors.text), errors, "%s: %s", text,
			 str_c(&world.errors.text));
	cr_expect_eq(ext_file_is_broken(&world.file),
		     world.errors.errors > 0);
	world_free(&world);
}

Test(ext_file, what_both_kinds_have_in_common)
{
	const struct ext_file_kind *const kinds[] = { &plain, &conf };
	struct world world;
	size_t i;

	for (i = 0; i < 2; i++) {
		world_read(&world, kinds[i], "# x\ncount = 4\nname = \\\n"
			   "  \"a b\"\ncount = 5 # y\n");
		cr_assert(world.open);
		cr_expect_str_eq(str_c(&world.errors.text), "");
		cr_expect_eq(world.thing.count, 5);
		cr_expect_str_eq(world.thing.secret, "");
		cr_expect_eq(ext_file_line(&world.file, "name"), 3);
		cr_expect_eq(ext_file_line(&world.file, "count"), 5);
		cr_expect_eq(ext_file_line(&world.file, "secret"), 0);
		ext_file_report(&world.file, "name", "it is %d", 1);
		ext_file_report(&world.file, "secret", "it is missing");
		cr_expect_str_eq(str_c(&world.errors.text),
				 "f:3: name: it is 1\n"
				 "f: secret: it is missing\n");
		world_free(&world);
		expect(kinds[i], "nam = x\n", "f:1: unknown setting \"nam\" "
		       "(did you mean \"name\"?)\n");
		expect(kinds[i], "othe = x\n", "f:1: unknown setting \"othe\" "
		       "(did you mean \"other\"?)\n");
		expect(kinds[i], "other = x\nanother = y\n",
		       "f: warning: without effect here: other, another\n");
		expect(kinds[i], "count = x\n",
		       "f:1: count: \"x\" is no number from 0 to "
		       "4294967295\n");
		expect(kinds[i], "= x\n", "f:1: no name in front of \"=\"\n");
	}
}

Test(ext_file, plain_values)
{
	struct world world;

	world_read(&world, &plain, "name = <a $b\nsecret = $name\n");
	cr_assert(world.open);
	cr_expect_str_eq(world.thing.name, "<a $b");
	cr_expect_str_eq(world.thing.secret, "$name");
	world_free(&world);
	expect(&plain, "a {\n}\n!include x\n",
	       "f:1: only \"name = value\" may stand in this file\n"
	       "f:2: only \"name = value\" may stand in this file\n"
	       "f:3: only \"name = value\" may stand in this file\n");
}

Test(ext_file, values_as_in_waypost_conf)
{
	struct world world;

	world_read(&world, &conf, "name = a\nname = $name b\n"
		   "secret = </secret\n");
	cr_assert(world.open);
	cr_expect_str_eq(world.thing.name, "a b");
	cr_expect_str_eq(world.thing.secret, "hush\n");
	world_free(&world);
	expect(&conf, "secret = </nowhere/at/all\n", "f:1: secret: cannot read "
	       "/nowhere/at/all: No such file or directory\n");
	expect(&conf, "!include x\n", "f:1: nothing can be included here\n");
}

/* A filter is a section, too: what is in it would have no effect. */
Test(ext_file, no_sections)
{
	expect(&conf, "protocol lmtp {\n  name = x\n}\n",
	       "f:1: only \"name = value\" may stand in this file\n");
}

Test(ext_file, pem)
{
	struct world world;

	world_read(&world, &conf, "name = /pem\n");
	cr_expect_str_eq(ext_file_pem(&world.file, world.arena, "name", ""),
			 "");
	cr_expect_str_eq(ext_file_pem(&world.file, world.arena, "name",
				      "/pem"), "-----BEGIN X-----\n");
	cr_expect_not(ext_file_is_broken(&world.file));
	cr_expect_str_eq(ext_file_pem(&world.file, world.arena, "name",
				      "/secret"), "");
	cr_expect_str_eq(ext_file_pem(&world.file, world.arena, "name",
				      "/nowhere/at/all"), "");
	cr_expect_str_eq(str_c(&world.errors.text),
			 "f:1: name: /secret holds nothing in PEM\n"
			 "f:1: name: cannot read /nowhere/at/all: No such file "
			 "or directory\n");
	world_free(&world);
}
