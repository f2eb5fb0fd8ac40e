//! The system calls that a doctor never makes. The kernel refuses them, whoever the process is: what is not asked of a
//! privilege (another process of the same user, a program to start) is out of reach as well.
//!
//! What is listed is refused and everything else let through: a list of all that a runtime and a C library may need would
//! break with each of their versions.

use std::collections::BTreeMap;

use nix::libc;
use nix::unistd::{Pid, getpid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// Refused whatever the arguments.
#[rustfmt::skip]
const NEVER: &[libc::c_long] = &[
    // To end, restart or replace the system, and what runs in its kernel.
    libc::SYS_reboot, libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_swapon, libc::SYS_swapoff,
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_bpf,
    libc::SYS_perf_event_open, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd, libc::SYS_syslog,
    libc::SYS_vhangup, libc::SYS_sethostname, libc::SYS_setdomainname,
    // To set its clock.
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex,
    // To start a program.
    libc::SYS_execve, libc::SYS_execveat,
    // To reach into other processes.
    libc::SYS_tkill, libc::SYS_pidfd_send_signal, libc::SYS_pidfd_getfd, libc::SYS_ptrace,
    libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_process_madvise,
    libc::SYS_process_mrelease, libc::SYS_kcmp, libc::SYS_migrate_pages, libc::SYS_move_pages,
    // To change what is mounted, or to see another system of files, processes or networks.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_move_mount, libc::SYS_open_tree,
    libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr,
    libc::SYS_chroot, libc::SYS_setns, libc::SYS_unshare,
    // Ways around a filter of system calls, and keys that are none of its business.
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_userfaultfd,
    libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl,
];
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[libc::c_long] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[libc::c_long] = &[];

/// Allowed towards this process alone. The number: which argument names the process. A signal to oneself is how a
/// program ends itself that finds itself broken.
const OWN_ALONE: &[(libc::c_long, u8)] = &[
    (libc::SYS_kill, 0),
    (libc::SYS_tgkill, 0),
    (libc::SYS_rt_sigqueueinfo, 0),
    (libc::SYS_rt_tgsigqueueinfo, 0),
];

/// The same, where 0 is this process as well.
const OWN_OR_ZERO: &[(libc::c_long, u8)] = &[
    (libc::SYS_prlimit64, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_sched_setaffinity, 0),
];

/// A new thread is no new process, and in none of these.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// On x86-64 every call has a second number, of the x32 ABI, from here on (`__X32_SYSCALL_BIT`).
const SECOND_NUMBERS: u32 = 0x4000_0000;

/// Forbids them to every thread of this process, for good.
pub(super) fn forbid() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    seccompiler::apply_filter_all_threads(&program(arch, getpid())?)
}

/// The filter for the process `own`.
fn program(arch: TargetArch, own: Pid) -> Result<BpfProgram, seccompiler::BackendError> {
    let (yes, no) = (SeccompAction::Allow, SeccompAction::Errno(errno(libc::EPERM)));
    let filter: BpfProgram = SeccompFilter::new(rules(own)?, yes, no, arch)?.try_into()?;
    Ok(prelude().into_iter().chain(filter).collect())
}

fn rules(own: Pid) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let pid = u64::from(own.as_raw().unsigned_abs());
    let is = |argument, op, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value);
    let bits = |flag: libc::c_int| u64::from(flag.unsigned_abs());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())).collect();
    for (call, argument) in OWN_ALONE {
        let other = SeccompRule::new(vec![is(*argument, SeccompCmpOp::Ne, pid)?])?;
        rules.insert(*call, vec![other]);
    }
    for (call, argument) in OWN_OR_ZERO {
        let other = [is(*argument, SeccompCmpOp::Ne, pid)?, is(*argument, SeccompCmpOp::Ne, 0)?];
        rules.insert(*call, vec![SeccompRule::new(other.into())?]);
    }
    let thread = bits(libc::CLONE_THREAD);
    let mut clone = vec![SeccompRule::new(vec![is(0, SeccompCmpOp::MaskedEq(thread), 0)?])?];
    for flag in NAMESPACES {
        let flag = bits(*flag);
        clone.push(SeccompRule::new(vec![is(0, SeccompCmpOp::MaskedEq(flag), flag)?])?);
    }
    rules.insert(libc::SYS_clone, clone);
    Ok(rules)
}

/// What stands before the rules: second numbers do not exist here, nor does `clone3`. Its flags lie in memory, where no
/// filter sees them; the C library takes `clone` where it is missing.
fn prelude() -> [sock_filter; 4] {
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or(SECOND_NUMBERS);
    let missing = libc::SECCOMP_RET_ERRNO | errno(libc::ENOSYS);
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    [
        line(load, 0, 0, 0),
        line(at_least, 1, 0, SECOND_NUMBERS),
        line(equal, 0, 1, clone3),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, missing),
    ]
}

/// One instruction; `jt` and `jf` are how many are passed over where its test holds, and where it does not.
fn line(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt, jf, k }
}

const fn errno(number: libc::c_int) -> u32 {
    number.unsigned_abs()
}

#[cfg(test)]
mod tests;
