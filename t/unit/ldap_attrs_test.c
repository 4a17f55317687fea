#include "t/unit/passdb_helper.h"

#include "passdb/ldap/attrs.h"
#include "passdb/shared.h"

/* A user's entry, and one that it points to. */
static const char *const v_uid[] = { "joe", NULL };
static const char *const v_multi[] = { "a", "b", "c", NULL };
static const char *const v_name[] = { "UID", NULL };
static const char *const v_site[] = { "s1", NULL };

static const struct ldap_attribute user_attributes[] = {
	{ "uid", v_uid }, { "Multi", v_multi }, { "name", v_name },
};
static const struct ldap_attribute site_attributes[] = {
	{ "site", v_site },
};
static const struct ldap_entry user_entry = {
	"uid=joe,dc=x", user_attributes, 3, NULL
};
static const struct ldap_entry site_entry = {
	"cn=site", site_attributes, 1, NULL
};

static int parse(struct helper *helper, struct ldap_attrs *attrs,
		 const char *text, struct err *err)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);

	return ldap_attrs_parse(attrs, helper->arena, text, &vars, err);
}

/* The names that are asked of entry i. */
static const char *wanted(const struct ldap_attrs *attrs, unsigned i)
{
	static char text[1024];
	const char *const *name = attrs->entries[i].wanted;

	text[0] = '\0';
	for (; *name != NULL; name++) {
		strcat(text, text[0] != '\0' ? " " : "");
		strcat(text, *name);
	}
	return text;
}

static void expect_wanted(const char *text, const char *names)
{
	struct helper helper;
	struct ldap_attrs attrs;
	struct err err = { "" };

	helper_init(&helper);
	cr_assert_eq(parse(&helper, &attrs, text, &err), 0, "%s: %s", text,
		     err.text);
	cr_expect_str_eq(wanted(&attrs, 0), names, "%s: %s", text,
			 wanted(&attrs, 0));
	helper_close(&helper);
}

Test(ldap_attrs, what_is_asked_for)
{
	expect_wanted("", "");
	expect_wanted("uid=user,userPassword=password", "uid");
	expect_wanted("=password=%{ldap:userPassword}, host", "host");
	expect_wanted("a=x, A=y ,b=z=%{ldap:c}%{ldap_multi:d:,:}%{ldap_ptr:e}, "
		      "!f", "a b c d e f");
	expect_wanted("=x=%{ldap:a:none}", "a");
	expect_wanted("a;lang-de=x, 2.5.4.3=y", "a;lang-de 2.5.4.3");
	expect_wanted("=proxy=y, =nopassword", "");
	expect_wanted("=x=%{if;%{ldap:a};eq;1;%{ldap:b};}", "a b");
	expect_wanted("@p=a, b@p=x", "a");
}

Test(ldap_attrs, pointers)
{
	struct helper helper;
	struct ldap_attrs attrs;
	struct err err = { "" };

	helper_init(&helper);
	cr_assert_eq(parse(&helper, &attrs, "@p=%{ldap:ref}, @q=more@p, "
			   "a@q=x, =y=%{ldap:b@p}", &err), 0, "%s", err.text);
	cr_expect_eq(attrs.entry_count, 3);
	cr_expect_str_eq(attrs.entries[1].name, "p");
	cr_expect_str_eq(attrs.entries[1].attribute, "ref");
	cr_expect_str_eq(attrs.entries[2].attribute, "more@p");
	cr_expect_str_eq(wanted(&attrs, 0), "ref");
	cr_expect_str_eq(wanted(&attrs, 1), "more b");
	cr_expect_str_eq(wanted(&attrs, 2), "a");
	helper_close(&helper);
}

Test(ldap_attrs, broken)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "=", "names no field" },
		{ "a=", "names no field" },
		{ "a==x", "names no field" },
		{ "a b=c", "not the name of an attribute" },
		{ "a*=c", "not the name of an attribute" },
		{ "!", "not the name of an attribute" },
		{ "@", "is not @name=attribute" },
		{ "@a", "is not @name=attribute" },
		{ "@=a", "is not @name=attribute" },
		{ "@a=", "not the name of an attribute" },
		{ "@a=%{ldap:x}/%d", "not the name of an attribute" },
		{ "a@b=c", "there is no @b before it" },
		{ "@a=x@a", "there is no @a before it" },
		{ "=x=%{ldap:}", "not the name of an attribute" },
		{ "=x=%{ldap", "missing }" },
		{ "=x=%y", "unknown variable %y" },
		{ "=x=%{ldup:a}", "unknown variable" },
		{ "@a=x,@b=x,@c=x,@d=x,@e=x,@f=x,@g=x,@h=x,@i=x",
		  "more than 8" },
	};
	struct helper helper;
	struct ldap_attrs attrs;
	struct err err;
	size_t i;

	helper_init(&helper);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_expect_eq(parse(&helper, &attrs, rows[i].text, &err), -1,
			     "%s", rows[i].text);
		cr_expect(strstr(err.text, rows[i].error) != NULL, "%s: %s",
			  rows[i].text, err.text);
	}
	helper_close(&helper);
}

/* What pass_attrs makes of the two entries, for joe@example.org. */
static void expect_fields(const char *text, const char *fields)
{
	struct helper helper;
	struct ldap_attrs attrs;
	struct ldap_found found = {
		&attrs, { &user_entry, &site_entry },
	};
	struct err err = { "" };

	helper_init(&helper);
	helper_add(&helper, "static", "y=from-before");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "joe@example.org"), PASSDB_OK);
	helper.request.passdb = helper.passdb;
	helper.request.step = 0;
	cr_assert_eq(parse(&helper, &attrs, text, &err), 0, "%s: %s", text,
		     err.text);
	cr_expect_eq(ldap_attrs_put(&attrs, &found, &helper.request, &err), 0,
		     "%s: %s", text, err.text);
	cr_expect_str_eq(helper_fields(&helper), fields, "%s: %s", text,
			 helper_fields(&helper));
	helper.request.passdb = NULL;
	helper_close(&helper);
}

Test(ldap_attrs, fields)
{
	expect_fields("uid=x", "y=from-before x=joe");
	expect_fields("uid", "y=from-before uid=joe");
	expect_fields("none=x", "y=from-before");
	expect_fields("UID=x", "y=from-before x=joe");
	expect_fields("=x=%u", "y=from-before x=joe@example.org");
	expect_fields("=x", "y=from-before x=");
	expect_fields("uid=x=<%$>", "y=from-before x=<joe>");
	expect_fields("none=x=<%$>", "y=from-before");
	expect_fields("uid=x=", "y=from-before x=joe");
	expect_fields("uid=x=*:bytes=", "y=from-before x=*:bytes=joe");
	expect_fields("uid=x=100%%", "y=from-before x=100%");
	expect_fields("none=x=a", "y=from-before");
	expect_fields("uid=x=%U$%%", "y=from-before x=JOE%");
	expect_fields("=x=%{ldap:none:a:b}", "y=from-before x=a:b");
	expect_fields("=x=%{ldap:none}", "y=from-before x=");
	expect_fields("=x=%{ldap:uid:no}", "y=from-before x=joe");
	expect_fields("=x=%{ldap_dn}", "y=from-before x=uid=joe,dc=x");
	expect_fields("=x=%{ldap_ptr:name}", "y=from-before x=joe");
	expect_fields("=x=%{ldap_ptr:none:no}", "y=from-before x=");
	expect_fields("=x=%{ldap_ptr:none:uid}", "y=from-before x=joe");
	expect_fields("=x=%{ldap_ptr:none:no:a}", "y=from-before x=a");
	expect_fields("=x=%{ldap_ptr:uid:no}", "y=from-before x=");
	expect_fields("=y:protected=new", "y=from-before");
	expect_fields("=z:protected=new", "y=from-before z=new");
	expect_fields("=y:remove", "");
	expect_fields("uid=y", "y=joe");
	expect_fields("@p=uid, site@p=x, =z=%{ldap:site@p}%{ldap:uid@p:-}",
		      "y=from-before x=s1 z=s1-");
	expect_fields("=x=%{passdb:y}", "y=from-before x=from-before");
	expect_fields("=userdb_x=1, =x=2", "y=from-before userdb_x=1 x=2");
}

Test(ldap_attrs, several_values)
{
	expect_fields("multi=x", "y=from-before x=a");
	expect_fields("=x=%{ldap_multi:multi}", "y=from-before x=a b c");
	expect_fields("=x=%{ldap_multi:multi:,}", "y=from-before x=a,b,c");
	expect_fields("=x=%{ldap_multi:multi:, :d}", "y=from-before x=a, b, c");
	expect_fields("=x=%{ldap_multi:multi::}", "y=from-before x=a:b:c");
	expect_fields("=x=%{ldap_multi:multi:::d}", "y=from-before x=a:b:c");
	expect_fields("=x=%{ldap_multi:multi::d}", "y=from-before x=a b c");
	expect_fields("=x=%{ldap_multi:none::d}", "y=from-before x=d");
	expect_fields("=x=%{ldap_multi:none:::d}", "y=from-before x=d");
	expect_fields("=x=%{ldap_multi:none:,:d}", "y=from-before x=d");
	expect_fields("=x=%{ldap_multi:none:,}", "y=from-before x=");
}
