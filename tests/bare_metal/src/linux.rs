//! x86-64 Linux without libc: entry, `write` and `exit`.

use core::arch::{asm, global_asm};
use core::fmt;

// The kernel enters with the stack pointer aligned to 16; a call must leave it so.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start);

// What the compiler may call where there is no libc; std's own copies are only for targets that have none.
global_asm!(
    ".globl memcpy",
    "memcpy: mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memset",
    "memset: mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
);

extern "C" fn start() -> ! {
    crate::run()
}

/// Standard output.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // SAFETY: `rest` is a readable slice.
            let written = unsafe { syscall(1, 1, rest.as_ptr() as usize, rest.len()) };
            rest = usize::try_from(written).ok().and_then(|n| rest.get(n..)).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// Ends the process.
pub fn exit(code: usize) -> ! {
    // SAFETY: exit_group takes no pointer and does not return.
    unsafe { syscall(231, code, 0, 0) };
    unreachable!()
}

/// # Safety
///
/// The arguments must be what the system call asks for.
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}
