"""cni_kill.py N PROGRAM: run the program and kill it with SIGKILL right before its N-th system call that
changes something outside (sendto, rename, write, setns, unlink). Its exit status, or 137."""
import ctypes, os, signal, struct, sys

PTRACE_TRACEME, PTRACE_CONT, PTRACE_KILL, PTRACE_GETREGS, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 7, 8, 12, 24, 0x4200
# x86-64: write, sendto, rename, setns, pwrite64, sendmsg; orig_rax is the 16th register.
CHANGES, ORIG_RAX = {1, 44, 82, 308, 18, 46}, 15
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

left = int(sys.argv[1])
pid = os.fork()
if pid == 0:
    libc.ptrace(PTRACE_TRACEME, 0, None, None)
    os.execv(sys.argv[2], sys.argv[2:])
os.waitpid(pid, 0)
libc.ptrace(PTRACE_SETOPTIONS, pid, None, ctypes.c_void_p(1))  # TRACESYSGOOD
entering = True
regs = ctypes.create_string_buffer(27 * 8)
while True:
    libc.ptrace(PTRACE_SYSCALL, pid, None, None)
    _, st = os.waitpid(pid, 0)
    if os.WIFEXITED(st):
        sys.exit(os.WEXITSTATUS(st))
    if os.WIFSIGNALED(st):
        sys.exit(137)
    if os.WSTOPSIG(st) != (signal.SIGTRAP | 0x80):
        continue
    if entering:
        libc.ptrace(PTRACE_GETREGS, pid, None, regs)
        if struct.unpack_from('<q', regs, ORIG_RAX * 8)[0] in CHANGES:
            left -= 1
            if left == 0:
                os.kill(pid, signal.SIGKILL)
    entering = not entering
