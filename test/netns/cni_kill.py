"""cni_kill.py N[:ERRNO] PROGRAM: run the program and kill it with SIGKILL right before its N-th system call that
changes something outside (sendto, rename, write, setns, unlink); with ERRNO, that call fails with it instead. Its
exit status, or 137; 99: there were fewer such calls than N, and ERRNO was given."""
import ctypes, os, signal, struct, sys

PTRACE_TRACEME, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 12, 13, 24, 0x4200
# x86-64: write, sendto, rename, setns, pwrite64, sendmsg; rax is the 11th register, orig_rax the 16th.
CHANGES, RAX, ORIG_RAX = {1, 44, 82, 308, 18, 46}, 10, 15
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

left, _, errno = sys.argv[1].partition(':')
left, errno, failing = int(left), int(errno or 0), False
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
        sys.exit(os.WEXITSTATUS(st) if left <= 0 or not errno else 99)
    if os.WIFSIGNALED(st):
        sys.exit(137)
    if os.WSTOPSIG(st) != (signal.SIGTRAP | 0x80):
        continue
    if entering:
        libc.ptrace(PTRACE_GETREGS, pid, None, regs)
        if struct.unpack_from('<q', regs, ORIG_RAX * 8)[0] in CHANGES:
            left -= 1
            if left == 0 and not errno:
                os.kill(pid, signal.SIGKILL)
            elif left == 0:
                struct.pack_into('<q', regs, ORIG_RAX * 8, -1)  # no call at all
                libc.ptrace(PTRACE_SETREGS, pid, None, regs)
                failing = True
    elif failing:
        libc.ptrace(PTRACE_GETREGS, pid, None, regs)
        struct.pack_into('<q', regs, RAX * 8, -errno)
        libc.ptrace(PTRACE_SETREGS, pid, None, regs)
        failing = False
    entering = not entering
