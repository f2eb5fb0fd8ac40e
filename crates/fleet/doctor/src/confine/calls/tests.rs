//! The filter, first read as the kernel would read it, then in a process of its own that the kernel filters.

use std::ffi::CString;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};

use super::*;

const X86_64: u32 = 0xc000_003e;
const AARCH64: u32 = 0xc000_00b7;
const OWN: i32 = 4711;

/// What the kernel makes of a call: the filter's instructions over `struct seccomp_data` (seccomp(2)).
fn verdict(program: &[sock_filter], arch: u32, call: u64, arguments: &[u64]) -> String {
    let mut data = u32::try_from(call).unwrap().to_le_bytes().to_vec();
    data.extend(arch.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    for at in 0..6 {
        data.extend(arguments.get(at).copied().unwrap_or(0).to_le_bytes());
    }
    let (mut at, mut held) = (0, 0_u32);
    loop {
        let line = &program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { line.jt } else { line.jf });
        let k = usize::try_from(line.k).unwrap();
        match line.code {
            0x20 => held = u32::from_le_bytes(data[k..k + 4].try_into().unwrap()),
            0x54 => held &= line.k,
            0x05 => at += k,
            0x15 => at += jump(held == line.k),
            0x25 => at += jump(line.k < held),
            0x35 => at += jump(line.k <= held),
            0x06 => break,
            code => panic!("no instruction of these filters: {code:#x}"),
        }
    }
    let returned = program[at - 1].k;
    match returned {
        0x7fff_0000 => "let through".to_owned(),
        0x8000_0000 => "killed".to_owned(),
        number if number >> 16 == 5 => Errno::from_raw((number & 0xffff).cast_signed()).to_string(),
        number => panic!("no verdict of these filters: {number:#x}"),
    }
}

fn here(call: libc::c_long, arguments: &[u64]) -> String {
    let program = program(TargetArch::x86_64, Pid::from_raw(OWN)).unwrap();
    verdict(&program, X86_64, call.cast_unsigned(), arguments)
}

const REFUSED: &str = "EPERM: Operation not permitted";
const MISSING: &str = "ENOSYS: Function not implemented";

#[test]
fn a15_calls_that_act_are_refused_whatever_their_arguments() {
    assert!(55 < NEVER.len() + NEVER_HERE.len());
    let own = u64::from(OWN.unsigned_abs());
    for call in NEVER.iter().chain(NEVER_HERE) {
        for arguments in [[0; 6], [own; 6], [u64::MAX; 6]] {
            assert_eq!(here(*call, &arguments), REFUSED, "{call}");
        }
    }
}

#[test]
fn a15_other_processes_are_out_of_reach_and_the_own_one_is_not() {
    let own = u64::from(OWN.unsigned_abs());
    for (call, argument) in OWN_ALONE.iter().chain(OWN_OR_ZERO) {
        let towards = |pid: u64| {
            let mut arguments = [own; 6];
            arguments[usize::from(*argument)] = pid;
            here(*call, &arguments)
        };
        assert_eq!(towards(own), "let through", "{call}");
        // The kernel looks at the lower half alone.
        assert_eq!(towards(own | 1 << 32), "let through", "{call}");
        for other in [1, own + 1, u64::MAX, u64::from(u32::MAX)] {
            assert_eq!(towards(other), REFUSED, "{call} {other}");
        }
        let zero = if OWN_ALONE.contains(&(*call, *argument)) { REFUSED } else { "let through" };
        assert_eq!(towards(0), zero, "{call} 0: the own group of processes");
    }
}

#[test]
fn a15_a_thread_may_begin_and_no_process_nor_another_world() {
    // As the C library begins a thread, and as it forks.
    let (thread, fork) = (0x003d_0f00, libc::SIGCHLD.unsigned_abs().into());
    assert_eq!(here(libc::SYS_clone, &[thread]), "let through");
    assert_eq!(here(libc::SYS_clone, &[fork]), REFUSED);
    for flag in NAMESPACES {
        assert_eq!(here(libc::SYS_clone, &[thread | u64::from(flag.unsigned_abs())]), REFUSED, "{flag:#x}");
    }
    assert_eq!(here(libc::SYS_clone3, &[0]), MISSING);
}

#[test]
fn a15_no_second_number_leads_around_the_filter_and_no_other_machine_code() {
    for call in (0..1024).map(|call| call + u64::from(SECOND_NUMBERS)) {
        let program = program(TargetArch::x86_64, Pid::from_raw(OWN)).unwrap();
        assert_eq!(verdict(&program, X86_64, call, &[]), MISSING);
    }
    for (arch, number) in [(TargetArch::x86_64, X86_64), (TargetArch::aarch64, AARCH64)] {
        let program = program(arch, Pid::from_raw(OWN)).unwrap();
        let reboot = libc::SYS_reboot.cast_unsigned();
        let write = libc::SYS_write.cast_unsigned();
        assert_eq!(verdict(&program, number, reboot, &[]), REFUSED);
        assert_eq!(verdict(&program, number, write, &[]), "let through");
        for foreign in [X86_64, AARCH64, 0x4000_0003].into_iter().filter(|foreign| *foreign != number) {
            assert_eq!(verdict(&program, foreign, write, &[]), "killed");
        }
    }
}

/// What this process may not do, tried with arguments that do no harm where it may, and what comes of it.
fn tries() -> Vec<(&'static str, nix::Result<()>)> {
    let nowhere = CString::new("/nowhere").unwrap();
    let none: [CString; 0] = [];
    let nobody = Pid::from_raw(0x3fff_ffff);
    let file = std::fs::File::open("/proc/self/status").unwrap();
    let far = nix::sys::uio::RemoteIoVec { base: 0, len: 1 };
    let mut byte = [0];
    let (monotonic, zero) =
        (nix::time::ClockId::CLOCK_MONOTONIC, nix::sys::time::TimeSpec::from(std::time::Duration::ZERO));
    let path = Some("/nowhere");
    let started = Command::new("true").spawn().map(|_| ());
    let started = started.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    vec![
        ("reboot", nix::sys::reboot::set_cad_enabled(false)),
        ("kill", kill(Pid::parent(), None)),
        ("kill of the group", kill(Pid::from_raw(0), None)),
        ("execve", nix::unistd::execve(&nowhere, &none, &none).map(|_| ())),
        ("execveat", nix::unistd::fexecve(&file, &none, &none).map(|_| ())),
        ("a program", started),
        ("ptrace", nix::sys::ptrace::attach(nobody)),
        ("mount", nix::mount::mount(path, "/nowhere", path, nix::mount::MsFlags::empty(), path)),
        ("umount", nix::mount::umount("/nowhere")),
        ("pivot_root", nix::unistd::pivot_root("/nowhere", "/nowhere")),
        ("chroot", nix::unistd::chroot("/nowhere")),
        ("init_module", nix::kmod::init_module(b"", &nowhere)),
        ("finit_module", nix::kmod::finit_module(&file, &nowhere, nix::kmod::ModuleInitFlags::empty())),
        ("delete_module", nix::kmod::delete_module(&nowhere, nix::kmod::DeleteModuleFlags::O_NONBLOCK)),
        ("clock_settime", nix::time::clock_settime(monotonic, zero)),
        (
            "process_vm_readv",
            nix::sys::uio::process_vm_readv(nobody, &mut [std::io::IoSliceMut::new(&mut byte)], &[far])
                .map(|_| ()),
        ),
        ("setns", nix::sched::setns(&file, nix::sched::CloneFlags::empty())),
        ("unshare", nix::sched::unshare(nix::sched::CloneFlags::empty())),
    ]
}

/// Says to this address what a confined process met.
const REPORT_TO: &str = "MUSTER_TEST_REPORT_TO";

#[test]
fn a15_a_confined_process_is_refused_by_the_kernel_and_works_on() {
    if let Some(address) = std::env::var_os(REPORT_TO) {
        confined(address.to_str().unwrap());
    }
    let refused = tries().iter().filter(|(_, met)| *met == Err(Errno::EPERM)).count();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = "confine::calls::tests::a15_a_confined_process_is_refused_by_the_kernel_and_works_on";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(REPORT_TO, listener.local_addr().unwrap().to_string())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let told = std::io::read_to_string(&mut stream).unwrap();
    let ended = child.wait().unwrap();
    let expected: Vec<String> = tries().iter().map(|(what, _)| format!("{what}: {REFUSED}")).collect();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[..told.len().min(expected.len())], expected);
    assert_eq!(told[expected.len()..], ["Seccomp:\t2", "NoNewPrivs:\t1", "CapBnd:\t0000000000000000"]);
    assert_eq!(ended.signal(), Some(Signal::SIGABRT as i32), "it may end itself");
    let root = nix::unistd::Uid::effective().is_root();
    assert!(!root || refused == 0, "without the filter {refused} of them are refused all the same");
}

/// The process of its own: gives its powers away, tries in a thread that is begun after it, reports, and aborts.
fn confined(address: &str) -> ! {
    crate::confine().unwrap();
    let report = || {
        let mut stream = TcpStream::connect(address).unwrap();
        for (what, met) in tries() {
            let met = met.err().map_or("done".to_owned(), |error| error.to_string());
            writeln!(stream, "{what}: {met}").unwrap();
        }
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        for name in ["Seccomp:", "NoNewPrivs:", "CapBnd:"] {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            writeln!(stream, "{line}").unwrap();
        }
    };
    std::thread::scope(|scope| scope.spawn(report).join().unwrap());
    std::process::abort()
}
