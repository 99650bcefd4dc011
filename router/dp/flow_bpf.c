/* flow_bpf.c - see flow_bpf.h.
 *
 * The eBPF program mirrors flow_hash() register by register. It reads the packet with
 * bpf_skb_load_bytes into its stack: that works on any skb layout, and a load past the end is an
 * error number instead of the end of the program, so a packet with no room for ports still gets its
 * address hash.
 *
 *	r6	the skb		r7	protocol; 0: no ports	r8	offset of the ports
 *	r9	hash so far	r0-r5	scratch			stack	40 header bytes, then 4 of
 *ports
 *
 * Jumps go forward to one of a few labels; a jump is written with the label's number as its offset,
 * and resolve() replaces it when all is assembled. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include "flow_bpf.h"
#include "flow_mix.h"
#include "pkt.h"
#include "weft/wire.h"

#define STACK_HDR   (-40)
#define STACK_PORTS (-48)

enum label {
	L_V6 = 1,
	L_V4_NO_PORTS,
	L_ADDRESSES4,
	L_V6_PORTS,
	L_ADDRESSES6,
	L_COMBINE,
	L_PORTS,
	L_FINISH,
	L_NOT_IP,
	LABELS,
};

struct as {
	struct bpf_insn *insns;
	size_t n;
	size_t at[LABELS];
	uint8_t jump_to[FLOW_BPF_TUN_MAX]; /* by instruction: its label, 0: no jump */
};

static void put(struct as *as, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	assert(as->n < FLOW_BPF_TUN_MAX);
	as->insns[as->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

static void mov_reg(struct as *as, uint8_t dst, uint8_t src)
{
	put(as, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void mov_imm(struct as *as, uint8_t dst, int32_t imm)
{
	put(as, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm);
}

static void alu_reg(struct as *as, uint8_t op, uint8_t dst, uint8_t src)
{
	put(as, (uint8_t)(BPF_ALU64 | op | BPF_X), dst, src, 0, 0);
}

static void alu_imm(struct as *as, uint8_t op, uint8_t dst, int32_t imm)
{
	put(as, (uint8_t)(BPF_ALU64 | op | BPF_K), dst, 0, 0, imm);
}

/* dst = a 64-bit constant: two slots. */
static void mov_imm64(struct as *as, uint8_t dst, uint64_t imm)
{
	put(as, BPF_LD | BPF_DW | BPF_IMM, dst, 0, 0, (int32_t)(uint32_t)imm);
	put(as, 0, 0, 0, 0, (int32_t)(uint32_t)(imm >> 32));
}

/* dst = stack[off], @size BPF_B, BPF_H or BPF_W, as it lies in memory. */
static void load(struct as *as, uint8_t size, uint8_t dst, int16_t off)
{
	put(as, (uint8_t)(BPF_LDX | size | BPF_MEM), dst, BPF_REG_10, off, 0);
}

/* reg = a 16-bit word that was loaded from network order, in host order. */
static void from_be16(struct as *as, uint8_t reg)
{
	put(as, BPF_ALU | BPF_END | BPF_TO_BE, reg, 0, 0, 16);
}

static void jump(struct as *as, uint8_t op, uint8_t reg, int32_t imm, enum label to)
{
	as->jump_to[as->n] = (uint8_t)to;
	put(as, (uint8_t)(BPF_JMP | op | BPF_K), reg, 0, 0, imm);
}

static void label(struct as *as, enum label l)
{
	as->at[l] = as->n;
}

static void resolve(struct as *as)
{
	for (size_t i = 0; i < as->n; i++)
		if (as->jump_to[i])
			as->insns[i].off = (int16_t)(as->at[as->jump_to[i]] - i - 1);
}

/* Copy @len packet bytes at an offset (register @off_reg, or @off if that is 0) to the stack; jump
 * to
 * @fail if they are not all there. Clobbers r0-r5. */
static void load_packet(
	struct as *as, uint8_t off_reg, int32_t off, int32_t stack, int32_t len, enum label fail)
{
	mov_reg(as, BPF_REG_1, BPF_REG_6);
	if (off_reg)
		mov_reg(as, BPF_REG_2, off_reg);
	else
		mov_imm(as, BPF_REG_2, off);
	mov_reg(as, BPF_REG_3, BPF_REG_10);
	alu_imm(as, BPF_ADD, BPF_REG_3, stack);
	mov_imm(as, BPF_REG_4, len);
	put(as, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
	jump(as, BPF_JNE, BPF_REG_0, 0, fail);
}

/* Fall through if r7 is a protocol with ports, else jump to @none. */
static void want_ports(struct as *as, enum label yes, enum label none)
{
	jump(as, BPF_JEQ, BPF_REG_7, PKT_TCP, yes);
	jump(as, BPF_JEQ, BPF_REG_7, PKT_UDP, yes);
	jump(as, BPF_JNE, BPF_REG_7, PKT_SCTP, none);
}

/* IPv4: header in the stack; addresses to r1 and r2, r7 and r8 set. */
static void ipv4(struct as *as)
{
	load(as, BPF_B, BPF_REG_8, STACK_HDR);
	alu_imm(as, BPF_AND, BPF_REG_8, 15);
	alu_imm(as, BPF_LSH, BPF_REG_8, 2);
	load(as, BPF_B, BPF_REG_7, STACK_HDR + 9);
	load(as, BPF_H, BPF_REG_0, STACK_HDR + 6);
	from_be16(as, BPF_REG_0);
	alu_imm(as, BPF_AND, BPF_REG_0, 0x3fff); /* a fragment has no ports */
	jump(as, BPF_JNE, BPF_REG_0, 0, L_V4_NO_PORTS);
	want_ports(as, L_ADDRESSES4, L_V4_NO_PORTS);
	jump(as, BPF_JA, 0, 0, L_ADDRESSES4);
	label(as, L_V4_NO_PORTS);
	mov_imm(as, BPF_REG_7, 0);
	label(as, L_ADDRESSES4);
	load(as, BPF_W, BPF_REG_1, STACK_HDR + 12);
	load(as, BPF_W, BPF_REG_2, STACK_HDR + 16);
	jump(as, BPF_JA, 0, 0, L_COMBINE);
}

/* reg = the IPv6 address at stack[off], folded; r3 holds FLOW_MUL_WORD. Clobbers r0. */
static void fold6(struct as *as, uint8_t reg, int16_t off)
{
	load(as, BPF_W, reg, off);
	for (int16_t i = 4; i < 16; i = (int16_t)(i + 4)) {
		alu_reg(as, BPF_MUL, reg, BPF_REG_3);
		load(as, BPF_W, BPF_REG_0, (int16_t)(off + i));
		alu_reg(as, BPF_ADD, reg, BPF_REG_0);
	}
}

static void ipv6(struct as *as)
{
	load_packet(as, 0, 20, STACK_HDR + 20, 20, L_NOT_IP);
	mov_imm(as, BPF_REG_8, 40);
	load(as, BPF_B, BPF_REG_7, STACK_HDR + 6);
	want_ports(as, L_ADDRESSES6, L_V6_PORTS);
	jump(as, BPF_JA, 0, 0, L_ADDRESSES6);
	label(as, L_V6_PORTS);
	mov_imm(as, BPF_REG_7, 0);
	label(as, L_ADDRESSES6);
	mov_imm64(as, BPF_REG_3, FLOW_MUL_WORD);
	fold6(as, BPF_REG_1, STACK_HDR + 8);
	fold6(as, BPF_REG_2, STACK_HDR + 24);
}

/* r9 = hash of the addresses in r1 and r2, then of the ports if there are any. */
static void combine(struct as *as)
{
	label(as, L_COMBINE);
	mov_reg(as, BPF_REG_9, BPF_REG_1);
	alu_reg(as, BPF_XOR, BPF_REG_9, BPF_REG_2);
	mov_imm64(as, BPF_REG_3, FLOW_MUL_XOR);
	alu_reg(as, BPF_MUL, BPF_REG_9, BPF_REG_3);
	alu_reg(as, BPF_ADD, BPF_REG_1, BPF_REG_2);
	mov_imm64(as, BPF_REG_3, FLOW_MUL_SUM);
	alu_reg(as, BPF_MUL, BPF_REG_1, BPF_REG_3);
	alu_reg(as, BPF_ADD, BPF_REG_9, BPF_REG_1);
	jump(as, BPF_JEQ, BPF_REG_7, 0, L_FINISH);
	load_packet(as, BPF_REG_8, 0, STACK_PORTS, 4, L_FINISH);
	load(as, BPF_H, BPF_REG_1, STACK_PORTS);
	from_be16(as, BPF_REG_1);
	load(as, BPF_H, BPF_REG_2, STACK_PORTS + 2);
	from_be16(as, BPF_REG_2);
	mov_reg(as, BPF_REG_0, BPF_REG_1);
	alu_reg(as, BPF_XOR, BPF_REG_0, BPF_REG_2);
	alu_imm(as, BPF_LSH, BPF_REG_0, 32);
	alu_reg(as, BPF_ADD, BPF_REG_9, BPF_REG_0);
	alu_reg(as, BPF_ADD, BPF_REG_1, BPF_REG_2);
	alu_imm(as, BPF_LSH, BPF_REG_1, 8);
	alu_reg(as, BPF_ADD, BPF_REG_9, BPF_REG_1);
	alu_reg(as, BPF_ADD, BPF_REG_9, BPF_REG_7);
}

/* r0 = the queue. */
static void finish(struct as *as, unsigned nqueues)
{
	label(as, L_FINISH);
	mov_reg(as, BPF_REG_0, BPF_REG_9);
	alu_imm(as, BPF_RSH, BPF_REG_0, 32);
	alu_reg(as, BPF_XOR, BPF_REG_0, BPF_REG_9);
	mov_imm64(as, BPF_REG_3, FLOW_MUL_END);
	alu_reg(as, BPF_MUL, BPF_REG_0, BPF_REG_3);
	alu_imm(as, BPF_RSH, BPF_REG_0, 32);
	alu_imm(as, BPF_MOD, BPF_REG_0, (int32_t)nqueues);
	put(as, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	label(as, L_NOT_IP);
	mov_imm(as, BPF_REG_0, 0);
	put(as, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

size_t flow_bpf_tun(struct bpf_insn *insns, unsigned nqueues)
{
	struct as as = {.insns = insns};

	assert(nqueues > 0 && nqueues <= INT32_MAX);
	mov_reg(&as, BPF_REG_6, BPF_REG_1);
	/* An IPv6 header is longer, but the shortest IPv4 packet is not. */
	load_packet(&as, 0, 0, STACK_HDR, 20, L_NOT_IP);
	load(&as, BPF_B, BPF_REG_0, STACK_HDR);
	alu_imm(&as, BPF_RSH, BPF_REG_0, 4);
	jump(&as, BPF_JEQ, BPF_REG_0, 6, L_V6);
	jump(&as, BPF_JNE, BPF_REG_0, 4, L_NOT_IP);
	ipv4(&as);
	label(&as, L_V6);
	ipv6(&as);
	combine(&as);
	finish(&as, nqueues);
	resolve(&as);
	return as.n;
}

size_t flow_bpf_reuseport(struct sock_filter *insns, unsigned workers)
{
	const struct sock_filter prog[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIRE_TYPE_BYTE(WIRE_DATA), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIRE_TYPE_BYTE(WIRE_RELAY), 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, WIRE_OFF_LANE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIRE_LANE_CONTROL, 3, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, workers),
	};
	size_t n = sizeof(prog) / sizeof(prog[0]);

	assert(workers > 0 && n <= FLOW_BPF_REUSEPORT_MAX);
	for (size_t i = 0; i < n; i++)
		insns[i] = prog[i];
	return n;
}
