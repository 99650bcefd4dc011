/* msgpack to JSON, generically: the schema is the daemon's (docs/json.md), not this program's. */
#include "json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

/* Text, whatever its bytes are. */
static json_t *text(const char *s, size_t len)
{
	json_t *j = json_stringn(len ? s : "", len);

	if (j)
		return j;
	char *ascii = malloc(len);
	if (!ascii)
		return NULL;
	for (size_t i = 0; i < len; i++)
		ascii[i] = (unsigned char)s[i] > '~' ? '?' : s[i];
	j = json_stringn(ascii, len);
	free(ascii);
	return j;
}

static json_t *hex(const char *s, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *buf = malloc(2 * len + 1);

	if (!buf)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		buf[2 * i] = digits[(unsigned char)s[i] >> 4];
		buf[2 * i + 1] = digits[(unsigned char)s[i] & 15];
	}
	json_t *j = json_stringn(buf, 2 * len);
	free(buf);
	return j;
}

static json_t *array(const msgpack_object_array *a)
{
	json_t *j = json_array();

	for (uint32_t i = 0; j && i < a->size; i++)
		if (json_array_append_new(j, json_from_msgpack(&a->ptr[i])) != 0) {
			json_decref(j);
			return NULL;
		}
	return j;
}

static json_t *object(const msgpack_object_map *m)
{
	json_t *j = json_object();

	for (uint32_t i = 0; j && i < m->size; i++) {
		const msgpack_object *k = &m->ptr[i].key;

		if (k->type != MSGPACK_OBJECT_STR)
			continue;
		json_t *key = text(k->via.str.ptr, k->via.str.size);
		json_t *value = key ? json_from_msgpack(&m->ptr[i].val) : NULL;
		/* a key with a NUL inside ends there: jansson's objects have C strings for keys */
		int err = json_object_set_new(j, key ? json_string_value(key) : "", value);
		json_decref(key);
		if (err) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

json_t *json_from_msgpack(const msgpack_object *o)
{
	if (!o)
		return json_null();
	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return json_boolean(o->via.boolean);
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return o->via.u64 > INT64_MAX ? json_real((double)o->via.u64)
					      : json_integer((json_int_t)o->via.u64);
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return json_integer((json_int_t)o->via.i64);
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return isfinite(o->via.f64) ? json_real(o->via.f64) : json_null();
	case MSGPACK_OBJECT_STR:
		return text(o->via.str.ptr, o->via.str.size);
	case MSGPACK_OBJECT_BIN:
		return hex(o->via.bin.ptr, o->via.bin.size);
	case MSGPACK_OBJECT_ARRAY:
		return array(&o->via.array);
	case MSGPACK_OBJECT_MAP:
		return object(&o->via.map);
	default: /* nil, extensions */
		return json_null();
	}
}

int json_print(FILE *f, json_t *j)
{
	if (!j)
		return ERR_NOMEM;
	int err = json_dumpf(j, f, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	json_decref(j);
	return err || fputc('\n', f) == EOF || fflush(f) != 0 ? -EIO : 0;
}
