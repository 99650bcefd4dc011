/* conf.h - configuration: one schema table makes flags, YAML keys, --help, the man page's option
 * list and the errors (DESIGN 10.1, 11). */
#ifndef WEFT_CONF_H
#define WEFT_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/log.h"

#define CONF_LIST_MAX 256

struct conf_prefix {
	struct pfx pfx;
	char device[16]; /* empty: no device */
	bool claim;      /* auto/LEN: a block to claim; pfx has family and length alone */
};

/* --masquerade: whose packets leave the mesh with an address of this host. */
enum conf_masquerade {
	CONF_MASQ_PODS, /* prefixes without a device */
	CONF_MASQ_YES,  /* all that leaves here */
	CONF_MASQ_NO,
};

struct conf_peer {
	char text[280]; /* as typed: HOST:PORT, HOST, [v6]:PORT */
};

/* More segments than the default one (YAML `segments:`). */
struct conf_segment {
	uint32_t vni;
	char tun[16];
	struct pfx ranges[16];
	size_t nranges;
	struct conf_prefix prefixes[16];
	size_t nprefixes;
};

struct conf {
	char name[NODE_NAME_MAX + 1];
	bool has_cluster;
	char cluster[64]; /* an id in lower-case base32, or a name to derive it from */
	char state_dir[256], run_dir[256], secret_file[256];
	struct ep listen; /* default [::]:6793 */
	struct conf_peer *peers;
	size_t npeers;
	struct pfx *ranges;
	size_t nranges; /* --cluster-range, VNI 1 */
	struct conf_prefix *prefixes;
	size_t nprefixes;
	struct pfx *accept;
	size_t naccept;
	struct pfx *exits;
	size_t nexits;
	struct conf_segment *segments;
	size_t nsegments;
	struct conf_bgp *bgp; /* conf_bgp.h; NULL: no such section */
	char tun[16];
	bool metrics_on;
	struct ep metrics;                   /* "off" turns it off */
	unsigned workers;                    /* 0: cores */
	unsigned suites;                     /* 0: automatic, else one WIRE_SUITE_BIT */
	uint16_t side_port_lo, side_port_hi; /* --source-ports A-B; 0: off */
	bool relay;
	enum conf_masquerade masquerade;
	uint32_t mark, mark_mask; /* --mark MARK/MASK, default 0x10000000/0x10000000 */
	int dscp;                 /* --dscp copy|0..63, default 0 */
	bool checksum_full;       /* --checksum full|partial */
	struct ep *advertise;
	size_t nadvertise; /* endpoints to publish besides the host's own */
	enum log_level log_level;
	/* actions, not settings */
	bool check, down, help, version;
	/* --tune KEY=VALUE, as typed; meaning belongs to the daemon */
	char (*tune)[64];
	size_t ntune;
	char config_path[256];
};

/* Parse argv and the YAML file it names; flags win over the file, a list given by flags replaces
 * the file's. 0: conf_free @out in the end; with help or version set nothing else was looked at.
 * ERR_CONFIG: @err holds one line or more (no newline at the end), as many as fit: "FILE:LINE: KEY:
 * what is wrong; allowed: what", for flags "--KEY: ...". ERR_NOMEM. After an error @out is zeroed. A
 * secret file is required unless check or down is set. */
int conf_load(int argc, char **argv, struct conf *out, char *err, size_t err_len);
/* Parse YAML text alone, over the defaults, with all checks but that for a secret file (fuzzing,
 * tests). @name stands in the messages. Errors as conf_load. */
int conf_parse_yaml(const char *name, const char *text, size_t len, struct conf *out, char *err,
	size_t err_len);
struct conf_bgp;
/* Read the section `bgp` of the file @path anew (the rest is read, too, but not checked across keys).
 * Returns owned: conf_bgp_free(). Errors as conf_load; ERR_CONFIG, too, if there is no such section. */
int conf_load_bgp(const char *path, struct conf_bgp **out, char *err, size_t err_len);
void conf_defaults(struct conf *c); /* name is "" where the host's name is no node name */
void conf_free(struct conf *c);     /* NULL and a zeroed struct are fine */
void conf_help(FILE *out);          /* --help */
void conf_man_options(FILE *out);   /* the OPTIONS section of weftd(8), roff */
void conf_man_keys(FILE *out);      /* the KEYS section of weftd.yaml(5), roff */

#endif
