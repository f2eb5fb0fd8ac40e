//! `muster doctor`: the confined process of one machine.

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use muster_base::task::{Kind, Tasks};
use muster_doctor::{Config, Doctor};

use super::{LOG, clock, machine_name, service};
use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::signals;

/// Reads its kubeconfig, gives every power away, then starts.
pub(crate) fn run(args: DoctorArgs) -> Result<(), Failure> {
    let path = args.kubeconfig.display().to_string();
    let kubeconfig = Kubeconfig::read_from(&args.kubeconfig)
        .map_err(|error| Failure::failed(format!("{path}: cannot read the kubeconfig"), &error))?;
    let machine = machine_name(args.machine)?;
    muster_doctor::confine().map_err(|error| Failure::failed("the doctor does not start", &error))?;
    if args.end_with_parent {
        // After the change of identity, which would clear it (prctl(2)).
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)
            .map_err(|error| Failure::failed("cannot be tied to the parent process", &error))?;
    }
    service(LOG, async move {
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| Failure::failed(format!("{path}: not a usable kubeconfig"), &error))?;
        let client = Client::try_from(config)
            .map_err(|error| Failure::failed(format!("{path}: cannot build a client"), &error))?;
        let doctor = Doctor::build(Config::new(machine.clone(), args.probe_socket), client, clock())
            .await
            .map_err(|error| Failure::api("cannot read the Problems filed before", &error))?;
        tracing::info!(machine, "the doctor looks");
        let tasks = Tasks::new();
        let inner = tasks.clone();
        tasks.spawn(Kind::Service, "doctor", async move { doctor.run(&inner).await });
        signals::run_until_told(&tasks).await
    })
}
