/* SPDX-License-Identifier: Apache-2.0
 *
 * FastCGI records: those that the mover writes into a connection it was
 * handed, and those that the test client writes and reads.  FastCGI 1.0.
 * Reading requests is libfcgi's work, in the worker.
 */
#ifndef WIRE_FCGI_H
#define WIRE_FCGI_H

#include "base/buf.h"

enum { FCGI_HEADER = 8, FCGI_CONTENT_MAX = 65528 };	/* content that needs no padding */
enum fcgi_type {
	FCGI_BEGIN = 1, FCGI_ABORT = 2, FCGI_END = 3, FCGI_PARAMS = 4,
	FCGI_STDIN = 5, FCGI_STDOUT = 6, FCGI_STDERR = 7,
};

/* The 8 bytes before n bytes of content (n <= FCGI_CONTENT_MAX, padding is 0). */
void fcgi_header(uint8_t ret[FCGI_HEADER], enum fcgi_type type, uint16_t id, uint16_t n);
/* Append the empty STDOUT record and END_REQUEST (status complete). */
void fcgi_end(struct buf *out, uint16_t id, uint32_t app_status);
/*
 * For clients: BEGIN_REQUEST (responder, no keep-conn); one name-value pair,
 * which is content for a PARAMS record; content of any length as records
 * (n 0: the empty record that ends a stream).
 */
void fcgi_begin(struct buf *out, uint16_t id);
void fcgi_param(struct buf *out, const char *name, size_t name_len, const char *value, size_t value_len);
void fcgi_record(struct buf *out, enum fcgi_type type, uint16_t id, const void *data, size_t n);
/* One record from the front of data: bytes it takes, 0 when more is needed, -1 when it is no record (version, type). */
struct fcgi_record { enum fcgi_type type; uint16_t id; const uint8_t *content; size_t content_len; };
ssize_t fcgi_parse(const void *data, size_t len, struct fcgi_record *ret);
/*
 * What a front still says after its request, in pieces of any size (the state begins as zeros):
 * true once one of its records is ABORT_REQUEST for id.  The rest, and what is no record, is skipped.
 */
struct fcgi_rest { uint8_t head[FCGI_HEADER]; size_t n, skip; };
bool fcgi_rest_aborts(struct fcgi_rest *r, uint16_t id, const void *data, size_t len);

#endif
