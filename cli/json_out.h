/* json_out.h - what the daemon answered, as JSON. */
#ifndef WEFT_JSON_OUT_H
#define WEFT_JSON_OUT_H

#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>

/* The same value in JSON; NULL is null. Text that is no UTF-8 has '?' for each byte above 126; binary is
 * hex text; extensions and numbers that JSON has not (NaN) are null; a map's key that is no text is left
 * out. @o must have passed ctl_scan (the depth is bounded by it). Returns owned; NULL: no memory. */
json_t *json_from_msgpack(const msgpack_object *o);
/* Print, indented, with a newline. Takes @j (NULL: ERR_NOMEM). 0, ERR_NOMEM, -EIO. */
int json_print(FILE *f, json_t *j);

#endif
