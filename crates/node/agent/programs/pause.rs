//! Holds a pod's namespaces open: waits for TERM or INT, and reaps what is handed to it in a shared PID namespace.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(1)
}

const TERM_INT_CHLD: u64 = (1 << (15 - 1)) | (1 << (2 - 1)) | (1 << (17 - 1));
const SIGCHLD: isize = 17;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {run}", run = sym run);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {run}", run = sym run);

#[cfg(target_arch = "x86_64")]
mod number {
    pub const SIGPROCMASK: usize = 14;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const WAIT4: usize = 61;
    pub const EXIT: usize = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
    pub const EXIT: usize = 94;
}

#[cfg(target_arch = "x86_64")]
fn call(n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: a system call with arguments that live across it; rcx and r11 are clobbered by the kernel.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}
#[cfg(target_arch = "aarch64")]
fn call(n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: a system call with arguments that live across it.
    unsafe {
        asm!("svc 0", in("x8") n, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    result
}

fn exit(code: usize) -> ! {
    loop {
        call(number::EXIT, code, 0, 0, 0);
    }
}

extern "C" fn run() -> ! {
    let set = TERM_INT_CHLD;
    let set_address = &raw const set as usize;
    call(number::SIGPROCMASK, 0, set_address, 0, 8);
    loop {
        // PID 1 has no default actions: signals are taken one by one instead of by handlers.
        match call(number::SIGTIMEDWAIT, set_address, 0, 0, 8) {
            SIGCHLD => while call(number::WAIT4, usize::MAX, 0, 1, 0) > 0 {},
            15 | 2 => exit(0),
            _ => {}
        }
    }
}
