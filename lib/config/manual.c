/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxy.conf(5), from the table, as mdoc.  Runs at build time only, in
 * man/make_conf_manual.c.
 */
#include "base/base.h"

#include "config/params.h"

#include <inttypes.h>
#include <string.h>

#include "config/units.h"

enum { COLUMNS = 72 };

static const char head[] =
	".\\\" SPDX-License-Identifier: Apache-2.0\n"
	".\\\" Made from the table in lib/config/params.c: change it there.\n"
	".Dd November 22, 2026\n"
	".Dt EODATA-PROXY.CONF 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm eodata-proxy.conf\n"
	".Nd configuration of the data proxy for Earth observation\n"
	".Sh DESCRIPTION\n"
	"The file that\n"
	".Xr eodata-proxy 8\n"
	"reads at start and at every reload.\n"
	"It is checked as a whole before any of it applies: with a fault in it the\n"
	"proxy does not start, and a running proxy keeps the configuration that it has.\n"
	".Pp\n"
	".Dl eodata-proxy --config FILE --check-config\n"
	".Pp\n"
	"names every fault by its path in the file and its line, and\n"
	".Pp\n"
	".Dl eodata-proxy --config FILE --dump-config\n"
	".Pp\n"
	"writes out every parameter with the value that is in force, secrets excepted.\n"
	"What it writes is a configuration file itself.\n"
	".Sh SYNTAX\n"
	"The file is one JSON object in UTF-8, of at most 10 MiB.\n"
	"Comments from\n"
	".Ql //\n"
	"to the end of the line, and from\n"
	".Ql /*\n"
	"to\n"
	".Ql */ ,\n"
	"may stand wherever white space may.\n"
	"Everything else is strict JSON: a member that is unknown or stands twice, a\n"
	"value of another type, a comma too many are faults.\n"
	"A member that is left out has its default.\n"
	"Names of members are written without escapes.\n"
	".Pp\n"
	"Values that are no plain strings, numbers or booleans are written with their\n"
	"units, as strings:\n"
	".Bl -tag -width Ds\n"
	".It size\n"
	"A number and\n"
	".Ql B ,\n"
	".Ql KB ,\n"
	".Ql MB ,\n"
	".Ql GB ,\n"
	".Ql TB\n"
	"or\n"
	".Ql PB\n"
	"(powers of 1000), or\n"
	".Ql KiB\n"
	"to\n"
	".Ql PiB\n"
	"(powers of 1024): \"20 GB\", \"64 MiB\", \"1.5 TB\".\n"
	".It rate\n"
	"A size, for a second: \"10 MB\" or \"10 MB per second\".\n"
	".It duration\n"
	"A number and\n"
	".Ql ms ,\n"
	".Ql s ,\n"
	".Ql m ,\n"
	".Ql h\n"
	"or\n"
	".Ql d :\n"
	"\"200ms\", \"30s\", \"5m\", \"2h\", \"30d\".\n"
	".It lifetime\n"
	"A number and\n"
	".Ql d ,\n"
	".Ql w\n"
	"or\n"
	".Ql y\n"
	"(365 days), 1 to 36500 days in all:\n"
	"\"30d\", \"1y\"; or\n"
	".Ql never .\n"
	".It percentage\n"
	"\"25 %\".\n"
	".It limit\n"
	"A number or a size, and\n"
	".Ql per\n"
	"second, minute, hour, day or month: \"20 per second\", \"1 TB per month\".\n"
	".It path\n"
	"An absolute path; the empty string where there is none.\n"
	".It pattern\n"
	"A shell pattern over the whole text, case-sensitive:\n"
	".Ql *\n"
	"any number of characters,\n"
	".Ql \\&?\n"
	"one,\n"
	".Ql [a-z]\n"
	"one of these,\n"
	".Ql [!a-z]\n"
	"one that is none of these, and a backslash takes the next character as it is.\n"
	"A request is never the pattern.\n"
	".El\n"
	".Pp\n"
	"A reload takes every parameter that is not marked\n"
	".Dq restart .\n"
	".Sh PARAMETERS\n";

static const char tail[] =
	".Sh FILES\n"
	".Bl -tag -width Ds\n"
	".It Pa /etc/eodata-proxy/eodata-proxy.conf\n"
	"The usual place.\n"
	".It Pa conf-examples/eodata-proxy.conf\n"
	"Below\n"
	".Pa share/eodata-proxy :\n"
	"a file with every parameter, commented.\n"
	".El\n"
	".Pp\n"
	"Secrets are not written into the file: it names files that hold them\n"
	".Pq Cm stac.headers_file , eodag.config_file , cache.s3.credentials , cache.s3.memory_key .\n"
	"Such a file must not be readable by others, nor writable by anyone but its\n"
	"owner; with a looser mode it is refused.\n"
	".Sh EXAMPLES\n"
	"Members of the group\n"
	".Dq s2-users\n"
	"may fetch Sentinel-2 products, within a quota; what they fetch is kept for\n"
	"30 days:\n"
	".Bd -literal -offset indent\n"
	"{\n"
	"  \"stac\": { \"item_url\":\n"
	"    \"https://stac.example.org/collections/{collection}/items/{item}\" },\n"
	"  \"eodag\": { \"config_file\": \"/etc/eodata-proxy/eodag.yml\" },\n"
	"  \"quotas\": {\n"
	"    \"standard\": { \"per\": \"user\", \"requests\": [\"20 per second\"],\n"
	"                  \"bytes\": [\"1 TB per month\"] }\n"
	"  },\n"
	"  \"cache\": { \"retentions\": { \"30d\": {} } },\n"
	"  \"datasets\": [\n"
	"    { \"collections\": [\"S2_*\"], \"retention\": \"30d\" }\n"
	"  ],\n"
	"  \"rules\": [\n"
	"    // staff may look at the proxy itself\n"
	"    { \"users\": [\"alice\"], \"routes\": [\"-/status\", \"-/metrics\"],\n"
	"      \"allow\": true },\n"
	"    { \"groups\": [\"s2-users\"], \"collections\": [\"S2_*\"],\n"
	"      \"allow\": true, \"quotas\": [\"standard\"] }\n"
	"  ],\n"
	"  \"front\": { \"public_urls\": [\"https://data.example.org/data\"] }\n"
	"}\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr tmpfiles.d 5 ,\n"
	".Xr eodata-proxy 8\n"
	".Rs\n"
	".%T The JavaScript Object Notation (JSON) Data Interchange Format\n"
	".%R RFC 8259\n"
	".Re\n";

static void
put_word(struct buf *out, const char *s, size_t n, size_t *column)
{
	if (*column > 0 && *column + 1 + n > COLUMNS) {
		(void)buf_addc(out, '\n');	/* the buffer remembers its failure */
		*column = 0;
	}
	if (*column > 0) {
		(void)buf_addc(out, ' ');
		(*column)++;
	} else if (s[0] == '.' || s[0] == '\'') {
		(void)buf_adds(out, "\\&");
	}
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\')
			(void)buf_adds(out, "\\e");
		else
			(void)buf_addc(out, s[i]);
	}
	*column += n;
}

/* Running text, wrapped, each sentence on a line of its own. */
static void
put_text(struct buf *out, const char *s)
{
	size_t column = 0, n;

	while (*s != '\0') {
		n = strcspn(s, " ");
		put_word(out, s, n, &column);
		if (n > 1 && s[n - 1] == '.' && s[n] == ' ') {
			(void)buf_addc(out, '\n');
			column = 0;
		}
		s += n;
		s += strspn(s, " ");
	}
	if (column > 0)
		(void)buf_addc(out, '\n');
}

static const char *
type_name(const struct param *p)
{
	switch (p->type) {
	case PARAM_STRING:
	case PARAM_OPTIONAL:
		return "string";
	case PARAM_PATH:
	case PARAM_PATH_LIST:
		return "path";
	case PARAM_SIZE:
		return "size";
	case PARAM_RATE:
		return "rate";
	case PARAM_DURATION:
		return "duration";
	case PARAM_INTEGER:
		return "integer";
	case PARAM_PERCENT:
		return "percentage";
	case PARAM_BOOL:
		return "true or false";
	case PARAM_STRINGS:
		return "list of strings";
	case PARAM_LIFETIME:
		return "lifetime";
	case PARAM_LIMITS:
		return "list of limits";
	case PARAM_QUOTAS:
		return "list of names of quota sets";
	case PARAM_ROWS:
		return "list of objects";
	case PARAM_MAP:
		return (p->rows->param[0].flags & PARAM_ITSELF) != 0 ? "object of lists" : "object of objects";
	case PARAM_WORD:
	case PARAM_WORD_BOOL:
	case PARAM_WORD_STRING:
		break;
	}
	return "";
}

static void
put_range(struct buf *out, const struct param *p)
{
	switch (p->type) {
	case PARAM_SIZE:
	case PARAM_RATE:
	case PARAM_DURATION:
	case PARAM_INTEGER:
	case PARAM_PERCENT:
		if (p->max >= INT64_MAX && p->min <= 1) {
			(void)buf_adds(out, p->min == 1 ? ", not 0" : "");
		} else if (p->max >= INT64_MAX) {
			(void)buf_adds(out, ", at least ");
			param_put_quantity(out, p, p->min);
		} else {
			(void)buf_adds(out, ", ");
			param_put_quantity(out, p, p->min);
			(void)buf_adds(out, " to ");
			param_put_quantity(out, p, p->max);
		}
		break;
	case PARAM_STRING:
	case PARAM_OPTIONAL:
		(void)buf_addf(out, ", at most %" PRIu64 " byte%s", p->max, p->max == 1 ? "" : "s");
		break;
	case PARAM_STRINGS:
	case PARAM_QUOTAS:
		(void)buf_addf(out, ", at most %" PRIu64, p->max);
		break;
	case PARAM_ROWS:
	case PARAM_MAP:
		(void)buf_addf(out, ", at most %zu", p->rows->max);
		break;
	default:
		break;
	}
}

/* "(duration, 1s to 10m, default "40s", restart)" */
static void
put_facts(struct buf *out, const struct param *p)
{
	struct buf facts = BUF_INIT(1024);

	(void)buf_addf(&facts, "(%s", type_name(p));
	if (p->words != NULL) {
		for (size_t i = 0; p->words[i] != NULL; i++)
			(void)buf_addf(&facts, "%s\"%s\"",
			    i == 0 ? "" : p->words[i + 1] == NULL ? " or " : ", ", p->words[i]);
	}
	put_range(&facts, p);
	if (p->fallback != NULL)
		(void)buf_addf(&facts, ", default %s", p->fallback);
	else if ((p->flags & PARAM_ITSELF) == 0)
		(void)buf_adds(&facts, ", must be given");
	if ((p->flags & PARAM_RESTART) != 0)
		(void)buf_adds(&facts, ", restart");
	(void)buf_addc(&facts, ')');
	put_text(out, buf_str(&facts));
	buf_release(&facts);
}

static void
put_param(struct buf *out, const struct param *p, const char *name)
{
	(void)buf_addf(out, ".It Cm %s\n", name);
	put_facts(out, p);
	(void)buf_adds(out, ".br\n");
	put_text(out, p->text);
}

static void
put_rows(struct buf *out, const struct param *p)
{
	const struct param_rows *rows = p->rows;

	(void)buf_adds(out, ".Pp\n");
	if (rows->key != NULL && (rows->param[0].flags & PARAM_ITSELF) != 0) {
		put_text(out, rows->param[0].text);
		return;
	}
	if (rows->key != NULL)
		(void)buf_addf(out, "Each member is named for its %s and has the members:\n", rows->key);
	else
		(void)buf_adds(out, "Each has the members:\n");
	(void)buf_adds(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < rows->n; i++)
		put_param(out, &rows->param[i], rows->param[i].path);
	(void)buf_adds(out, ".El\n");
}

static bool
in_section(const struct param *p, const char *section)
{
	size_t n = strlen(section);

	return strncmp(p->path, section, n) == 0 && (p->path[n] == '.' || p->path[n] == '\0');
}

void
config_manual(struct buf *out)
{
	const struct param_section *s;
	const struct param *p;

	(void)buf_adds(out, head);
	for (size_t i = 0; i < config_sections_n; i++) {
		s = &config_sections[i];
		(void)buf_addf(out, ".Ss %s\n", s->name);
		put_text(out, s->text);
		(void)buf_adds(out, ".Bl -tag -width Ds\n");
		for (size_t j = 0; j < config_params_n; j++) {
			p = &config_params[j];
			if (!in_section(p, s->name))
				continue;
			put_param(out, p, p->path);
			if (p->rows != NULL)
				put_rows(out, p);
		}
		(void)buf_adds(out, ".El\n");
	}
	(void)buf_adds(out, tail);
}
