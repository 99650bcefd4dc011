/* manifest.h - deploy/k8s/weft.yaml and weft-remove.yaml, put into the program by the build
 * (cli/CMakeLists.txt). */
#ifndef WEFT_MANIFEST_H
#define WEFT_MANIFEST_H

#include <stddef.h>

extern const unsigned char manifest_weft[], manifest_remove[]; /* no NUL behind them */
extern const size_t manifest_weft_len, manifest_remove_len;

#endif
