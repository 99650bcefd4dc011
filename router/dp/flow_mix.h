/* flow_mix.h - constants that flow.c and the program of flow_bpf.c must share: odd, and without
 * pattern. */
#ifndef WEFT_FLOW_MIX_H
#define WEFT_FLOW_MIX_H

#define FLOW_MUL_WORD 0x9e3779b97f4a7c15ull
#define FLOW_MUL_XOR  0xc2b2ae3d27d4eb4full
#define FLOW_MUL_SUM  0x165667b19e3779f9ull
#define FLOW_MUL_END  0xd6e8feb86659fd93ull

#endif
