//! `muster doctor`: the confined process of one machine.

pub(super) mod replay;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use muster_api::probe::KMSG_SOCKET;
use muster_base::task::{Kind, Tasks};
use muster_doctor::{Config, Doctor, Local, Roots, Trust};
use tokio::runtime::Builder;

use super::{LOG, clock, machine_name, service_on};
use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::signals;

/// Threads of the doctor, on a machine of however many cores: each has memory of its own, and there is little to do. The
/// second goes on while one waits for a file of the kernel's.
const WORKERS: usize = 2;

/// Reads its kubeconfig, gives every power away, then starts.
pub(crate) fn run(mut args: DoctorArgs) -> Result<(), Failure> {
    let path = args.kubeconfig.take().unwrap_or_default();
    let (kubeconfig, path) = (Kubeconfig::read_from(&path), path.display().to_string());
    let kubeconfig =
        kubeconfig.map_err(|error| Failure::failed(format!("{path}: cannot read the kubeconfig"), &error))?;
    let machine = machine_name(args.machine.clone())?;
    if let Some(dir) = &args.state_dir {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("{}: cannot be made the doctor's", dir.display()), &error)
        };
        muster_doctor::hand_over(dir).map_err(failed)?;
    }
    go_near(&mut args)?;
    muster_doctor::confine().map_err(|error| Failure::failed("the doctor does not start", &error))?;
    may_enter(&args)?;
    if args.end_with_parent {
        // After the change of identity, which would clear it (prctl(2)).
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)
            .map_err(|error| Failure::failed("cannot be tied to the parent process", &error))?;
    }
    service_on(Builder::new_multi_thread().worker_threads(WORKERS), LOG, async move {
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| Failure::failed(format!("{path}: not a usable kubeconfig"), &error))?;
        let client = Client::try_from(config)
            .map_err(|error| Failure::failed(format!("{path}: cannot build a client"), &error))?;
        let doctor = Doctor::build(config_of(&machine, args), client, clock())
            .await
            .map_err(|error| Failure::api("cannot read the Problems filed before", &error))?;
        tracing::info!(machine, "the doctor looks");
        let tasks = Tasks::new();
        let inner = tasks.clone();
        tasks.spawn(Kind::Service, "doctor", async move { doctor.run(&inner).await });
        signals::run_until_told(&tasks).await
    })
}

/// The user nobody need not be let through to the data directory.
fn go_near(args: &mut DoctorArgs) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("{}: no directory to look from", args.probe_socket.display());
        Failure::failed(what, &error)
    };
    let paths =
        [&mut args.rules_dir, &mut args.resolv_conf, &mut args.eyes.proc_root, &mut args.eyes.sysfs_root];
    for path in paths {
        *path = std::path::absolute(&path).map_err(failed)?;
    }
    match &mut args.state_dir {
        Some(dir) => {
            [args.probe_socket, *dir] = muster_doctor::go_near([&args.probe_socket, dir]).map_err(failed)?
        }
        None => [args.probe_socket] = muster_doctor::go_near([&args.probe_socket]).map_err(failed)?,
    }
    Ok(())
}

/// A doctor that cannot come to the agent's socket would take the agent for dead.
fn may_enter(args: &DoctorArgs) -> Result<(), Failure> {
    let dirs = args.probe_socket.parent().into_iter().chain(args.state_dir.as_deref());
    for dir in dirs {
        muster_doctor::may_enter(dir).map_err(|error| {
            let place = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
            let what = format!(
                "{}: the doctor, as the user nobody, may not enter it: allow others to pass (chmod o+x)",
                place.display()
            );
            Failure::failed(what, &error)
        })?;
    }
    Ok(())
}

fn config_of(machine: &str, args: DoctorArgs) -> Config {
    let local = Local {
        roots: Roots { proc: args.eyes.proc_root, sys: args.eyes.sysfs_root },
        kmsg_socket: Some(args.probe_socket.with_file_name(KMSG_SOCKET)),
        // The usual place need not be there.
        rules_dir: Some(args.rules_dir).filter(|dir| dir.exists() || !dir.ends_with("muster/rules.d")),
        state_dir: args.state_dir,
        time_servers: args.time_servers,
        resolv_conf: Some(args.resolv_conf),
        trust: Trust { forged: args.eyes.believe_forged, virtual_devices: args.eyes.watch_virtual },
    };
    Config { local: Some(local), ..Config::new(machine.to_owned(), args.probe_socket) }
}
