/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded interpreter: set-up, one function for jobs, and the fork.
 * The only file that includes Python.h.
 *
 * What comes back from Python is not trusted: only exact built-in types and
 * known members are taken, lengths and bytes are checked, and anything else
 * is an answer RESOLVE_FAILED.  Exceptions are logged by log_exception and
 * cleared; their text is logged only where the glue vouches that it holds no
 * secret (attribute eodata_safe), else the type and the place.
 */
#include "base/base.h"

#include "resolver/python.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "resolver/environment.h"
#include "role.h"

#define GLUE_MODULE "eodag_glue"
#define VERSION_TEXT(n) #n
#define VERSION_OF(n) VERSION_TEXT(n)

enum { BACKENDS_MAX = 4096, PLACES_READ_MAX = 64, TEXT_MAX = 65536, BODY_MAX = 1 << 20, REASON_MAX = 300 };

static PyObject *resolve_function;	/* owned for the life of the process */
static const char **backends;
static size_t n_backends;
static const char *places[PLACES_READ_MAX];
static size_t n_places;
static const char *trace;		/* of the job that runs; NULL without */

/* --- exceptions ------------------------------------------------------------ */

/* The pending exception, cleared; the caller's reference.  NULL when there is none. */
static PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030c0000
	return PyErr_GetRaisedException();
#else
	PyObject *type = NULL, *value = NULL, *tb = NULL;

	PyErr_Fetch(&type, &value, &tb);
	PyErr_NormalizeException(&type, &value, &tb);
	if (value != NULL && tb != NULL)
		(void)PyException_SetTraceback(value, tb);
	Py_XDECREF(type);
	Py_XDECREF(tb);
	return value;
#endif
}

/* "file.py:12" of the innermost frame, or "-". */
static void
where_raised(PyObject *tb, char *dst, size_t cap)
{
	PyTracebackObject *t = (PyTracebackObject *)tb;
	PyCodeObject *code;
	PyObject *name;
	const char *text, *slash;

	(void)snprintf(dst, cap, "-");
	if (tb == NULL || !PyTraceBack_Check(tb))
		return;
	while (t->tb_next != NULL)
		t = t->tb_next;
	code = PyFrame_GetCode(t->tb_frame);
	name = code->co_filename;
	text = name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
	if (text != NULL) {
		slash = strrchr(text, '/');
		(void)snprintf(dst, cap, "%s:%d", slash == NULL ? text : slash + 1, PyFrame_GetLineNumber(t->tb_frame));
	}
	Py_DECREF(code);
	PyErr_Clear();		/* of the name's encoding */
}

/* The exception's text, if the glue vouches for it; "" else. */
static void
safe_text(PyObject *value, char *dst, size_t cap)
{
	PyObject *safe, *text = NULL;
	const char *s;

	dst[0] = '\0';
	safe = value == NULL ? NULL : PyObject_GetAttrString((PyObject *)Py_TYPE(value), "eodata_safe");
	if (safe == Py_True) {
		text = PyObject_Str(value);
		s = text == NULL ? NULL : PyUnicode_AsUTF8(text);
		if (s != NULL)
			(void)snprintf(dst, cap, "%s", s);
	}
	Py_XDECREF(text);
	Py_XDECREF(safe);
	PyErr_Clear();
}

/*
 * Log the pending exception and clear it.  True when it says that the
 * interpreter is not to be used again: no memory, too deep, or a wish to exit.
 */
static bool
log_exception(const char *phase, struct err *e)
{
	char text[REASON_MAX], where[128], esc[4 * REASON_MAX + 16], where_esc[512 + 16];
	PyObject *value = take_exception(), *tb;
	bool tainted;

	if (value == NULL)
		return false;
	tb = PyException_GetTraceback(value);
	if (PyErr_GivenExceptionMatches(value, PyExc_MemoryError))
		role_bound(BOUND_RESOLVER_MEMORY, NULL, 0, "the resolver ends", NULL);
	tainted = PyErr_GivenExceptionMatches(value, PyExc_MemoryError) ||
	    PyErr_GivenExceptionMatches(value, PyExc_RecursionError) ||
	    !PyErr_GivenExceptionMatches(value, PyExc_Exception);
	where_raised(tb, where, sizeof(where));
	safe_text(value, text, sizeof(text));
	log_error(NULL, "EO-RESOLVER-PYTHON", "phase=%s trace=%s exception=%s at=%s text=%s", phase,
	    trace == NULL ? "-" : trace, Py_TYPE(value)->tp_name,
	    text_esc_to(where_esc, sizeof(where_esc), where), text_esc_to(esc, sizeof(esc), text));
	err_set(e, "%s", text[0] != '\0' ? text : "python raised an exception, see the line above");
	Py_DECREF(value);
	Py_XDECREF(tb);
	PyErr_Clear();
	return tainted;
}

/* --- start ------------------------------------------------------------------ */

static int
check_status(PyStatus status, struct err *e)
{
	if (PyStatus_Exception(status))
		return err_set(e, "cannot start python: %s: %s", status.func == NULL ? "?" : status.func,
		    status.err_msg == NULL ? "?" : status.err_msg);
	return 0;
}

static int
initialize(const struct config *c, struct err *e)
{
	const char *venv = c->eodag_python == NULL ? "" : c->eodag_python;
	char *executable;
	PyPreConfig pre;
	PyConfig py;
	int r = -1;

	if (strncmp(Py_GetVersion(), PY_VERSION, strcspn(PY_VERSION, ".") + 3) != 0)
		return err_set(e, "built for Python %s, but libpython is another version", PY_VERSION);
	executable = venv[0] == '\0' ? mem_strdup(PYTHON_EXECUTABLE) : mem_printf("%s/bin/python3", venv);
	PyPreConfig_InitIsolatedConfig(&pre);
	pre.utf8_mode = 1;
	if (check_status(Py_PreInitialize(&pre), e) < 0) {
		free(executable);
		return -1;
	}
	/* No environment, no user site, no current directory, no signal handlers, no arguments. */
	PyConfig_InitIsolatedConfig(&py);
	py.write_bytecode = 0;
	py.buffered_stdio = 0;
	py.install_signal_handlers = 0;
	py.pathconfig_warnings = 0;
	/* getpath finds pyvenv.cfg beside the executable, and site takes the environment from there. */
	if (check_status(PyConfig_SetBytesString(&py, &py.program_name, executable), e) < 0 ||
	    check_status(PyConfig_SetBytesString(&py, &py.executable, executable), e) < 0 ||
	    check_status(Py_InitializeFromConfig(&py), e) < 0)
		goto out;
	r = 0;
out:
	PyConfig_Clear(&py);
	free(executable);
	return r;
}

static int
add_path(const char *dir)
{
	PyObject *path = PySys_GetObject("path");	/* borrowed */
	PyObject *text = PyUnicode_DecodeFSDefault(dir);
	int r = -1;

	if (path != NULL && PyList_CheckExact(path) && text != NULL)
		r = PyList_Insert(path, 0, text);
	Py_XDECREF(text);
	return r;
}

static PyObject *
string_list(const struct strs *s)
{
	PyObject *list = PyList_New(0), *text;

	for (size_t i = 0; list != NULL && i < s->n; i++) {
		text = PyUnicode_DecodeFSDefault(s->v[i]);
		if (text == NULL || PyList_Append(list, text) < 0)
			Py_CLEAR(list);
		Py_XDECREF(text);
	}
	return list;
}

/* The list of names that setup returned. */
static int
take_backends(PyObject *list)
{
	Py_ssize_t n = PyList_CheckExact(list) ? PyList_GET_SIZE(list) : -1;

	if (n < 0 || n > BACKENDS_MAX) {
		PyErr_SetString(PyExc_TypeError, "setup returned no list of names");
		return -1;
	}
	backends = mem_alloc(((size_t)n + 1) * sizeof(backends[0]));
	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *item = PyList_GET_ITEM(list, i);
		const char *name = PyUnicode_CheckExact(item) ? PyUnicode_AsUTF8(item) : NULL;

		if (name == NULL) {
			if (!PyErr_Occurred())
				PyErr_SetString(PyExc_TypeError, "the name of a provider is no string");
			return -1;
		}
		if (name[0] != '\0' && strlen(name) <= RESOLVE_BACKEND_MAX)
			backends[n_backends++] = mem_strdup(name);
	}
	return 0;
}

static int
import_glue(const struct config *c, const char *glue_dir)
{
	PyObject *glue = NULL, *urls = NULL, *names = NULL;
	int r = -1;

	if (add_path(glue_dir) < 0)
		return -1;
	glue = PyImport_ImportModule(GLUE_MODULE);
	urls = string_list(&c->public_urls);
	if (glue == NULL || urls == NULL)
		goto out;
	names = PyObject_CallMethod(glue, "setup", "O", urls);
	if (names == NULL || take_backends(names) < 0)
		goto out;
	resolve_function = PyObject_GetAttrString(glue, "resolve");
	r = resolve_function == NULL ? -1 : 0;
out:
	Py_XDECREF(names);
	Py_XDECREF(urls);
	Py_XDECREF(glue);
	return r;
}

/* Where modules may still be imported from.  What is not text there is no place. */
static void
take_places(void)
{
	static const char *const prefixes[] = { "prefix", "base_prefix", "exec_prefix" };
	PyObject *path = PySys_GetObject("path");	/* borrowed, as all here */
	Py_ssize_t n = path != NULL && PyList_CheckExact(path) ? PyList_GET_SIZE(path) : 0;

	if (n > PLACES_READ_MAX - (Py_ssize_t)ARRAY_LEN(prefixes))
		n = PLACES_READ_MAX - (Py_ssize_t)ARRAY_LEN(prefixes);
	for (Py_ssize_t i = 0; i < n + (Py_ssize_t)ARRAY_LEN(prefixes); i++) {
		PyObject *o = i < n ? PyList_GET_ITEM(path, i) : PySys_GetObject(prefixes[i - n]);
		const char *text = o != NULL && PyUnicode_CheckExact(o) ? PyUnicode_AsUTF8(o) : NULL;

		if (text != NULL && text[0] == '/' && text[1] != '\0')
			places[n_places++] = mem_strdup(text);
		PyErr_Clear();
	}
}

int
python_check(const struct config *c, struct err *e)
{
	return environment_check(c, VERSION_OF(PY_MAJOR_VERSION) "." VERSION_OF(PY_MINOR_VERSION), e);
}

int
python_start(const struct config *c, const char *glue_dir, struct err *e)
{
	if (python_check(c, e) < 0 || environment_set(c, e) < 0 || initialize(c, e) < 0)
		return -1;
	if (import_glue(c, glue_dir) < 0) {
		(void)log_exception("start", e);
		err_prefix(e, "cannot set up EODAG");
		return -1;
	}
	take_places();
	log_info(NULL, "eodag is up python=%d.%d backends=%zu", PY_MAJOR_VERSION, PY_MINOR_VERSION, n_backends);
	return 0;
}

const char *const *
python_places(size_t *ret_n)
{
	*ret_n = n_places;
	return places;
}

const char *const *
python_backends(size_t *ret_n)
{
	*ret_n = n_backends;
	return backends;
}

pid_t
python_fork(void)
{
	pid_t pid;
	int saved;

	PyOS_BeforeFork();
	pid = fork();
	saved = errno;
	if (pid == 0)
		PyOS_AfterFork_Child();
	else
		PyOS_AfterFork_Parent();
	errno = saved;
	return pid;
}

/* --- one job ------------------------------------------------------------------ */

/* Steals value.  0, or -1 with an exception. */
static int
put(PyObject *dict, const char *key, PyObject *value)
{
	int r = value == NULL ? -1 : PyDict_SetItemString(dict, key, value);

	Py_XDECREF(value);
	return r;
}

static PyObject *
text_or_none(const char *s)
{
	if (s == NULL)
		Py_RETURN_NONE;
	return PyUnicode_FromString(s);
}

static PyObject *
job_dict(const struct resolve_job *j)
{
	PyObject *d = PyDict_New();

	if (d == NULL)
		return NULL;
	if (put(d, "backend", text_or_none(j->backend)) < 0 ||
	    put(d, "collection", text_or_none(j->collection)) < 0 ||
	    put(d, "item", text_or_none(j->item)) < 0 ||
	    put(d, "asset", text_or_none(j->asset)) < 0 ||
	    put(d, "subpath", text_or_none(j->subpath)) < 0 ||
	    put(d, "item_json", j->item_json == NULL ? Py_NewRef(Py_None) :
	        PyBytes_FromStringAndSize(j->item_json, (Py_ssize_t)j->item_json_len)) < 0 ||
	    put(d, "fresh", PyBool_FromLong(j->fresh)) < 0)
		Py_CLEAR(d);
	return d;
}

/* Reading the answer.  Every error is sticky, and says what was wrong. */
struct reader {
	PyObject *dict;
	Py_ssize_t used;	/* members found */
	const char *wrong;	/* NULL while all is well */
};

enum text_kind {
	TEXT_ANY,		/* no control bytes */
	TEXT_URL,		/* printable ASCII without spaces */
	TEXT_BODY,		/* what JSON may hold */
};

static bool
text_is(const char *s, size_t n, enum text_kind kind)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char b = (unsigned char)s[i];

		if (b == 0 || b == 0x7f || (b < 0x20 && (kind != TEXT_BODY || (b != '\n' && b != '\t'))))
			return false;
		if (kind == TEXT_URL && (b <= 0x20 || b > 0x7e))
			return false;
	}
	return true;
}

/* A str of exactly that type; NULL for None.  Borrowed from the object. */
static const char *
exact_text(struct reader *r, PyObject *o, size_t max, enum text_kind kind, const char *name)
{
	const char *s;
	Py_ssize_t n;

	if (o == Py_None)
		return NULL;
	s = PyUnicode_CheckExact(o) ? PyUnicode_AsUTF8AndSize(o, &n) : NULL;
	if (s == NULL || (size_t)n > max || !text_is(s, (size_t)n, kind)) {
		PyErr_Clear();
		r->wrong = name;
		return NULL;
	}
	return s;
}

/* The member, borrowed; an absent one is None. */
static PyObject *
member(struct reader *r, const char *name)
{
	PyObject *o = PyDict_GetItemString(r->dict, name);

	if (o == NULL)
		return Py_None;
	r->used++;
	return o;
}

static const char *
get_text(struct reader *r, const char *name, size_t max, enum text_kind kind)
{
	return exact_text(r, member(r, name), max, kind, name);
}

/* An int of exactly that type between 0 and max; none when absent. */
static uint64_t
get_number(struct reader *r, const char *name, uint64_t max, uint64_t none)
{
	PyObject *o = member(r, name);
	unsigned long long v;

	if (o == Py_None)
		return none;
	v = PyLong_CheckExact(o) ? PyLong_AsUnsignedLongLong(o) : (unsigned long long)-1;
	if (PyErr_Occurred() || !PyLong_CheckExact(o) || v > max) {
		PyErr_Clear();
		r->wrong = name;
		return none;
	}
	return v;
}

static bool
get_flag(struct reader *r, const char *name, bool none)
{
	PyObject *o = member(r, name);

	if (o == Py_None)
		return none;
	if (!PyBool_Check(o))
		r->wrong = name;
	return o == Py_True;
}

static int
get_word(struct reader *r, const char *name, const char *const *words, size_t n, int none)
{
	const char *s = get_text(r, name, 64, TEXT_ANY);

	if (s == NULL)
		return none;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(s, words[i]) == 0)
			return (int)i;
	}
	r->wrong = name;
	return none;
}

static void
get_headers(struct reader *r, struct resolve_answer *a)
{
	PyObject *list = member(r, "headers");

	if (list == Py_None)
		return;
	if (!PyList_CheckExact(list) || PyList_GET_SIZE(list) > SOURCE_HEADERS_MAX) {
		r->wrong = "headers";
		return;
	}
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
		const char *h = exact_text(r, PyList_GET_ITEM(list, i), TEXT_MAX, TEXT_ANY, "headers");

		if (h == NULL || h[0] == ':' || strchr(h, ':') == NULL) {
			r->wrong = "headers";
			return;
		}
		a->headers[a->n_headers++] = h;
	}
}

static void
get_source(struct reader *r, struct resolve_answer *a)
{
	static const char *const sources[] = { "http", "s3" };

	a->source = get_word(r, "source", sources, ARRAY_LEN(sources), 0) == 0 ? SOURCE_HTTP : SOURCE_S3;
	a->url = get_text(r, "url", SOURCE_URL_MAX, TEXT_URL);
	a->for_clients = get_flag(r, "for_clients", false);
	a->method = get_text(r, "method", 16, TEXT_URL);
	a->body = get_text(r, "body", BODY_MAX, TEXT_BODY);
	get_headers(r, a);
	a->expires_ms = (int64_t)get_number(r, "expires_ms", INT64_MAX, 0);
	a->media_type = get_text(r, "media_type", 256, TEXT_ANY);
	a->filename = get_text(r, "filename", 1024, TEXT_ANY);
	a->size = get_number(r, "size", INT64_MAX, UINT64_MAX);
	a->checksum = get_text(r, "checksum", 256, TEXT_URL);
	a->tls_verify = get_flag(r, "tls_verify", true);
	a->digest_user = get_text(r, "digest_user", 1024, TEXT_ANY);
	a->bucket = get_text(r, "bucket", 255, TEXT_URL);
	a->s3_key = get_text(r, "s3_key", SOURCE_URL_MAX, TEXT_ANY);
	a->s3_region = get_text(r, "s3_region", 64, TEXT_URL);
	a->s3_endpoint = get_text(r, "s3_endpoint", 1024, TEXT_URL);
	a->s3_access = get_text(r, "s3_access", 1024, TEXT_URL);
	a->s3_secret = get_text(r, "s3_secret", 1024, TEXT_URL);
	a->s3_token = get_text(r, "s3_token", 8192, TEXT_URL);
	a->s3_requester_pays = get_flag(r, "s3_requester_pays", false);
	a->s3_anonymous = get_flag(r, "s3_anonymous", false);
	if (a->source == SOURCE_HTTP && a->url == NULL && r->wrong == NULL)
		r->wrong = "url";
	if (a->method != NULL && strcmp(a->method, "GET") != 0 && strcmp(a->method, "POST") != 0)
		r->wrong = "method";
	if (a->source == SOURCE_S3 && (a->bucket == NULL || a->s3_key == NULL) && r->wrong == NULL)
		r->wrong = "bucket";
	if (a->source == SOURCE_S3 && ((a->s3_access == NULL) != a->s3_anonymous || (a->s3_secret == NULL) != a->s3_anonymous) &&
	    r->wrong == NULL)
		r->wrong = "s3_access";
}

static bool
status_is_ours(uint32_t status)
{
	static const uint32_t known[] = { 400, 403, 404, 429, 500, 501, 502, 503, 504 };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i] == status)
			return true;
	}
	return false;
}

static void
log_wrong(const struct resolve_job *job, const char *wrong)
{
	log_error(NULL, "EO-RESOLVER-ANSWER", "backend=%s trace=%s the glue's answer is wrong in '%s'", job->backend,
	    trace == NULL ? "-" : trace, wrong);
}

/* All of the answer.  Returns NULL, or the name of what is wrong in it. */
static const char *
read_answer(PyObject *dict, struct resolve_answer *a)
{
	static const char *const kinds[] = { "source", "pending", "carry", "failed" };
	struct reader r = { dict, 0, NULL };
	uint64_t job = a->job;

	if (!PyDict_CheckExact(dict))
		return "type";
	memset(a, 0, sizeof(*a));
	a->job = job;
	a->kind = (enum resolve_kind)get_word(&r, "kind", kinds, ARRAY_LEN(kinds), -1);
	a->backend = get_text(&r, "backend", RESOLVE_BACKEND_MAX, TEXT_ANY);
	a->size = UINT64_MAX;
	a->tls_verify = true;
	if (a->kind == RESOLVE_SOURCE)
		get_source(&r, a);
	a->status = (uint32_t)get_number(&r, "status", 599, 0);
	a->retry_after_s = (uint32_t)get_number(&r, "retry_after_s", 86400, 0);
	a->order_id = get_text(&r, "order_id", 1024, TEXT_ANY);
	a->who = get_text(&r, "who", 16, TEXT_ANY);
	a->reason = get_text(&r, "reason", REASON_MAX, TEXT_ANY);
	if (r.wrong != NULL)
		return r.wrong;
	if ((int)a->kind == -1)
		return "kind";
	if (r.used != PyDict_GET_SIZE(dict))
		return "an unknown member";
	if (a->kind == RESOLVE_SOURCE && a->backend == NULL)
		return "backend";
	if (a->kind != RESOLVE_SOURCE && !status_is_ours(a->status))
		return "status";
	return NULL;
}

static void
fail(struct resolve_answer *a, uint32_t status, const char *reason)
{
	uint64_t job = a->job;

	memset(a, 0, sizeof(*a));
	a->job = job;
	a->kind = RESOLVE_FAILED;
	a->size = UINT64_MAX;
	a->status = status;
	a->who = "resolver";
	a->reason = reason;
}

bool
python_resolve(const struct resolve_job *job, struct buf *msg)
{
	struct resolve_answer a = { .job = job->job };
	PyObject *dict = job_dict(job), *result = NULL;
	const char *wrong;
	bool tainted = false;

	trace = job->trace;
	if (dict != NULL)
		result = PyObject_CallOneArg(resolve_function, dict);
	if (result == NULL) {
		tainted = log_exception("resolve", NULL);
		fail(&a, 500, "an exception in the resolver");
	} else {
		wrong = read_answer(result, &a);
		if (wrong != NULL) {
			log_wrong(job, wrong);
			fail(&a, 500, "a malformed answer of the glue");
		}
	}
	resolve_answer_put(msg, &a);
	if (!buf_fits(msg)) {		/* that knows more of headers and lengths than read_answer */
		log_wrong(job, "what the mover would refuse");
		buf_clear(msg);
		fail(&a, 500, "a malformed answer of the glue");
		resolve_answer_put(msg, &a);
	}
	Py_XDECREF(result);
	Py_XDECREF(dict);
	PyErr_Clear();
	trace = NULL;
	return !tainted;
}
