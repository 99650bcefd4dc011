/* conf_tree.h - inside router/conf: a part of the YAML file as a tree, for sections whose shape is
 * richer than lines of KEY: VALUE. conf_yaml.c makes it; the bounds of the file bound it. */
#ifndef WEFT_CONF_TREE_H
#define WEFT_CONF_TREE_H

#include "conf_schema.h"

enum conf_node_kind { CONF_NODE_TEXT, CONF_NODE_LIST, CONF_NODE_MAP };

struct conf_node {
	enum conf_node_kind kind;
	unsigned line;                /* in the file */
	char *key;                    /* of a map's member, else NULL; owned */
	char *text;                   /* of CONF_NODE_TEXT; owned */
	struct conf_node *sub, *next; /* first child, next sibling; owned */
};

void conf_node_free(struct conf_node *n); /* with what hangs on it; NULL is fine */

/* Read the section `bgp:` into the load's struct conf; errors go to the load. */
void conf_bgp_read(struct conf_load *l, const struct conf_node *n);

#endif
